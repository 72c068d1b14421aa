"""Batches read ahead by other processes. What they hold depends on their number alone, not on who reads them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from gradus.data.processes import end_with_parent
from gradus.errors import UserError

if TYPE_CHECKING:
    from gradus.data.dataset import Batch, Dataset, Requests

AHEAD = 4  # batches that each process keeps ready


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_ahead(dataset: Dataset, requests: Requests, workers: int, *, pin: bool = False) -> Iterator[Batch]:
    """The batches of these requests in their order, each read whole by one of ``workers`` processes.

    Raises:
        UserError: for a sample that can't be read, as where it is read here, or a process that died.
    """
    with warnings.catch_warnings():  # of more processes than processors: it was asked for
        warnings.simplefilter("ignore", UserWarning)
        loader = torch.utils.data.DataLoader(
            _Reader(dataset, requests),
            sampler=range(len(requests)),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=AHEAD,
            pin_memory=pin,
            worker_init_fn=_begin,
        )
    answers = iter(loader)
    while True:
        try:
            answer: Batch | _Refusal | None = next(answers, None)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or ("killed" not in str(error) and "exited" not in str(error)):
                raise
            raise UserError(
                f"{dataset.name}: a process that reads samples died: {str(error).splitlines()[0]} "
                "Give it more memory, or fewer of them with --workers."
            ) from None
        if answer is None:
            return
        if isinstance(answer, _Refusal):
            raise UserError(answer.message)
        yield answer


def _begin(worker: int) -> None:
    end_with_parent()  # torch's own watch misses a parent that is killed while its process begins


class _Refusal:
    """An error for the person at the terminal, on its way from the process that met it."""

    def __init__(self, message: str) -> None:
        self.message = message


class _Reader(torch.utils.data.Dataset[Any]):
    def __init__(self, dataset: Dataset, requests: Requests) -> None:
        self.dataset, self.requests = dataset, requests

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, number: int) -> Batch | _Refusal:
        try:
            return self.dataset.batch(*self.requests[number])
        except UserError as error:
            return _Refusal(str(error))
