"""Watches data loaders: their samplers, and how long the program waits for them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, Subset
from torch.utils.data import dataloader as parts
from torch.utils.data.distributed import DistributedSampler

from gradus.doctor import places
from gradus.doctor.signals import LoaderSeen
from gradus.doctor.watch.watching import Patches, Watching

DRAWS = 32  # of an item by each worker, in an experiment
SECONDS = 8.0  # that it may take


class Loaders:
    """Wraps the iteration of every DataLoader in this process; its workers aren't watched."""

    def __init__(self, watching: Watching, patches: Patches) -> None:
        self.watching = watching
        self.index: dict[int, int] = {}
        self.held: list[Any] = []
        self.given = 0.0  # when the newest batch was
        self.begin = watching.quietly(self._begin)
        patches.replace(DataLoader, "__iter__", self._wrap_iter)
        patches.replace(parts._BaseDataLoaderIter, "__next__", self._wrap_next)

    def _wrap_iter(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def iterate(loader: Any) -> Any:
            self.begin(loader)
            iterator = original(loader)
            number = self.index.get(id(loader))
            if number is not None:
                iterator._gradus_loader = number
            return iterator

        return iterate

    def _wrap_next(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def following(iterator: Any) -> Any:
            w = self.watching
            number = getattr(iterator, "_gradus_loader", None)
            if number is None or w.paused:
                return original(iterator)
            seen, asked = w.seen.loaders[number], time.perf_counter()
            if self.given and w.loader == number:
                seen.busy += asked - self.given
            try:
                batch = original(iterator)
            except StopIteration:
                w.loader, w.batch, self.given = None, None, 0.0
                raise
            self.given = time.perf_counter()
            if getattr(iterator, "_gradus_given", False):  # the first of an epoch also starts workers, and fills caches
                seen.waited += self.given - asked
                seen.timed += 1
            iterator._gradus_given = True
            seen.batches += 1
            w.loader, w.batch = number, batch
            w.event("batch", number)
            return batch

        return following

    def _begin(self, loader: Any) -> None:
        number = self.index.get(id(loader))
        if number is None:
            number = self.index[id(loader)] = len(self.held)
            self.held.append(loader)
            sampler = getattr(loader, "sampler", None)
            try:
                rows: int | None = len(loader.dataset)
            except TypeError:
                rows = None
            self.watching.seen.loaders.append(
                LoaderSeen(
                    sampler=type(sampler).__name__,
                    rows=rows,
                    batch_size=loader.batch_size,
                    workers=loader.num_workers,
                    drop_last=bool(loader.drop_last),
                    place=places.here(),
                )
            )
        seen, sampler = self.watching.seen.loaders[number], getattr(loader, "sampler", None)
        seen.epochs += 1
        if isinstance(sampler, DistributedSampler) and len(seen.orders) < 100:
            seen.shares, seen.shuffles = sampler.num_replicas, bool(sampler.shuffle)
            seen.orders.append((sampler.epoch, seen.training))

    def finish(self) -> None:
        """Asked at the end of loaders with workers: do these draw the same random numbers, or each epoch again?"""
        seen = self.watching.seen.loaders
        for loader, told in zip(self.held, seen, strict=True):
            if told.workers and told.training and "fork" in torch.multiprocessing.get_all_start_methods():
                try:
                    told.alike_workers, told.alike_epochs = _alike(loader, told)
                except Exception:  # it was an experiment: a data set may not be asked so
                    continue


def _alike(loader: Any, told: LoaderSeen) -> tuple[bool, bool]:
    """Draw one item again and again, by two workers and in two epochs: whether both draw alike, of what varies."""
    if isinstance(loader.dataset, IterableDataset):
        return False, False
    each = told.waited / max(told.timed, 1) / max(told.batch_size or 1, 1) * told.workers
    draws = min(DRAWS, int(SECONDS / 4 / max(each, 1e-6)))
    if draws < 8:
        return False, False
    epochs = []
    for seed in (1, 2):
        again = DataLoader(
            Subset(loader.dataset, [0]), batch_size=1, sampler=[0] * (2 * draws), num_workers=2,
            worker_init_fn=loader.worker_init_fn, collate_fn=loader.collate_fn, timeout=SECONDS,
            multiprocessing_context="fork", generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        drawn = [_flat(batch) for batch in again]
        epochs.append((drawn[::2], drawn[1::2]))
    (one, two), (later, _) = epochs
    varies = any(not torch.equal(item, one[0]) for item in one)
    same_workers = varies and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    same_epochs = varies and all(torch.equal(a, b) for a, b in zip(one, later, strict=True))
    return same_workers and told.workers > 1, same_epochs and not loader.persistent_workers


def _flat(batch: Any) -> torch.Tensor:
    """All numbers of a batch in a row."""
    if isinstance(batch, torch.Tensor):
        return batch.reshape(-1).double()
    values = list(batch.values()) if hasattr(batch, "values") else batch
    parts = [_flat(value) for value in values] if isinstance(values, list | tuple) else []
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
