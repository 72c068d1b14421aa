"""The loop, on one page: take batch k, run the step, let the observers look, until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from gradus.data import Batch, Dataset, Draw, Order
from gradus.training.state import TrainState
from gradus.training.step import Step

Batches = Callable[[int], Batch]
"""Global batch k, a pure function of k."""


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
    """Train until ``state.total_steps``, or until an observer or a signal sets ``state.stop``."""
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
        state.samples += len(batch.indices)
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


def batches_of(dataset: Dataset, order: Order, total: int = 0) -> Batches:
    """The training batches of a dataset in an order: batch k holds the samples ``order.indices(k)``, augmented.

    Where the dataset has processes to read ahead with, they do so up to batch ``total``.
    """
    ahead: Iterator[Batch] = iter(())
    expected = -1

    def batch(k: int) -> Batch:
        nonlocal ahead, expected
        if dataset.workers == 0 or k >= total:
            return dataset.batch(order.indices(k), Draw(order.seed, order.epoch(k)))
        if k != expected:
            ahead = dataset.stream(_Training(order, k, total))
        expected = k + 1
        return next(ahead)

    return batch


class _Training:
    """What is asked for from a batch on; any process can tell it, for the order is a function."""

    def __init__(self, order: Order, first: int, total: int) -> None:
        self.order, self.first, self.total = order, first, total

    def __len__(self) -> int:
        return self.total - self.first

    def __getitem__(self, number: int) -> tuple[Tensor, Draw]:
        k = self.first + number
        return self.order.indices(k), Draw(self.order.seed, self.order.epoch(k))
