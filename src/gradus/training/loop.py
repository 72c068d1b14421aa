"""The loop, on one page: take batch k, run the step, let the observers look, until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from gradus.data import Batch, Dataset, Draw, Order
from gradus.training.state import TrainState
from gradus.training.step import Step
from gradus.training.world import World

Batches = Callable[[int], Batch]
"""Global batch k, a pure function of k; or, of several processes, this one's share of it."""


class Observer:
    """Looks at training and may act; it never changes what the next step computes, but for asking it to stop.

    Four moments, each free to be left out. Every observer decides by itself, in ``step``, whether it is time to act.
    """

    def start(self, state: TrainState) -> None:
        """Before the first step of this process."""

    def step(self, state: TrainState) -> dict[str, float] | None:
        """After each step. An observer that measured the model gives its metrics, and all of them hear of it."""
        return None

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        """After an observer measured the model on the validation split."""

    def end(self, state: TrainState) -> None:
        """After the last step, whether the budget is spent or the run was asked to stop; not after an error."""


def run(state: TrainState, batches: Batches, step: Step, observers: Sequence[Observer] = ()) -> None:
    """Train until ``state.total_steps``, or until an observer or a signal sets ``state.stop``.

    Several processes that train together begin with the state of rank 0.
    """
    if state.world is not None:
        state.world.spread(state)
    clock = time.perf_counter
    begun, seconds = clock(), state.seconds
    before = seconds["total"]
    state.model.train()
    for observer in observers:
        observer.start(state)
    while state.step < state.total_steps and state.stop is None:
        asked = clock()
        batch = batches(state.step)
        given = clock()
        outcome = step(state, batch)
        seconds["data_wait"] += given - asked
        state.step += 1
        state.samples += len(batch.indices) if state.world is None else state.world.samples
        state.loss_sum += outcome.loss_sum
        state.loss_count += outcome.count
        seconds["total"] = before + clock() - begun
        for observer in observers:
            metrics = observer.step(state)
            if metrics is not None:
                for other in observers:
                    other.checked(state, metrics)
    for observer in observers:
        observer.end(state)
    seconds["total"] = before + clock() - begun
    seconds["train"] = seconds["total"] - seconds["validate"] - seconds["save"] - seconds["data_wait"]


def batches_of(dataset: Dataset, order: Order, total: int = 0, world: World | None = None) -> Batches:
    """The training batches of a dataset in an order: batch k holds the samples ``order.indices(k)``, augmented.

    Where the dataset has processes to read ahead with, they do so up to batch ``total``. In a world each process is
    given its share of the batch, which is empty where the batch has few samples for so many processes.
    """
    every = _Training(order, 0, total, world)
    ahead: Iterator[Batch] = iter(())
    expected = -1

    def batch(k: int) -> Batch:
        nonlocal ahead, expected
        if dataset.workers == 0 or k >= total:
            return dataset.batch(*every[k])
        if k != expected:
            ahead = dataset.stream(_Training(order, k, total, world))
        expected = k + 1
        return next(ahead)

    if world is None:
        return batch

    def share(k: int) -> Batch:
        samples = order.indices(k)
        world.samples = len(samples)
        return batch(k) if len(world.share(samples)) else _nothing_of(batch(k))

    return share


class _Training:
    """What is asked for from a batch on; any process can tell it, for the order is a function."""

    def __init__(self, order: Order, first: int, total: int, world: World | None) -> None:
        self.order, self.first, self.total, self.world = order, first, total, world

    def __len__(self) -> int:
        return self.total - self.first

    def __getitem__(self, number: int) -> tuple[Tensor, Draw]:
        k = self.first + number
        samples = self.order.indices(k)
        if self.world is not None:  # a dataset is never asked for nothing: of an empty share one sample is read
            share = self.world.share(samples)
            samples = share if len(share) else samples[:1]
        return samples, Draw(self.order.seed, self.order.epoch(k))


def _nothing_of(batch: Batch) -> Batch:
    """A batch of no samples, of the form of another one."""
    inputs = tuple(t[:0] for t in batch.inputs) if isinstance(batch.inputs, tuple) else batch.inputs[:0]
    return Batch(inputs, batch.targets[:0], batch.indices[:0], 0)
