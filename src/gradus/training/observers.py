"""What looks at training: validation, the best weights, the metrics log, notices, the budget in minutes, signals.

Whatever decides about the run's future (validation, stopping) acts on steps alone; the clock decides only about
saving and showing.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from gradus.training.loop import Observer
from gradus.training.rundir import RunDirectory
from gradus.training.state import Best, TrainState, split_state
from gradus.training.triggers import Every, Trigger
from gradus.training.world import once


class Validate(Observer):
    """Measures the model on the validation split every so many steps and after the last one."""

    def __init__(self, measure: Callable[[TrainState], dict[str, float]], every: Every) -> None:
        self.measure, self.trigger = measure, Trigger(every)

    def step(self, state: TrainState) -> dict[str, float] | None:
        if not self.trigger.due(state.step) and state.step != state.total_steps:
            return None
        begun = time.perf_counter()
        metrics = once(state.world, lambda: self.measure(state))
        state.seconds["validate"] += time.perf_counter() - begun
        return metrics


class BestWeights(Observer):
    """Keeps the weights of the least validation loss, and ends the run after ``patience`` checks without gain.

    The loss and not the metric: on some dozens of rows an accuracy moves by chance, and the best one comes too early.

    Args:
        patience: None goes on to the end.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience

    def start(self, state: TrainState) -> None:
        self._judge(state)  # a run that was cut off right after its last check has nothing left to do

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        value = metrics["loss"]
        if value == value and (state.best is None or value < state.best.value):
            with state.weights_in_use() as model:
                weights = {name: tensor.detach().clone() for name, tensor in split_state(model)[0].items()}
            state.best = Best(value, state.step, weights)
            state.checks_without_gain = 0
            return
        state.checks_without_gain += 1
        self._judge(state)

    def _judge(self, state: TrainState) -> None:
        if self.patience is not None and state.checks_without_gain >= self.patience:
            state.stop = f"no gain in {self.patience} checks"


class MetricsLog(Observer):
    """Writes metrics.jsonl: every so many steps the mean loss since the last line, and each check.

    Here, and only here, the loss comes from the device to the host. ``last`` is the newest line. The norm of the
    gradient is asked for ahead of the steps that are logged, and computed in no other.
    """

    def __init__(self, directory: RunDirectory, every_steps: int, batches_per_epoch: int) -> None:
        self.file = directory.lines(directory.metrics)
        self.every, self.batches_per_epoch = every_steps, batches_per_epoch
        self.last: dict[str, Any] = {}

    def start(self, state: TrainState) -> None:
        state.norm_wanted = self._due(state.step + 1, state)

    def step(self, state: TrainState) -> None:
        state.norm_wanted = self._due(state.step + 1, state)
        if not self._due(state.step, state):
            return
        self.last = {
            **self._place(state),
            "loss": float(state.loss_sum) / state.loss_count if state.loss_count else math.nan,  # all were skipped
            "lr": state.optimizer.param_groups[0]["lr"],
            "grad_norm": None if state.grad_norm is None else float(state.grad_norm),
            "seconds": round(state.seconds["total"], 3),
        }
        state.loss_sum.zero_()
        state.loss_count = 0
        self.file.add(self.last)

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        self.file.add({**self._place(state), "valid": metrics})

    def close(self) -> None:
        self.file.close()

    def _due(self, step: int, state: TrainState) -> bool:
        return step % self.every == 0 or step == state.total_steps

    def _place(self, state: TrainState) -> dict[str, Any]:
        return {"step": state.step, "epoch": round(state.step / self.batches_per_epoch, 3)}


class Notices(Observer):
    """Tells what the steps had to tell."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def step(self, state: TrainState) -> None:
        if state.notices:
            for notice in state.notices:
                self.tell(notice)
            state.notices.clear()


class OutOfTime(Observer):
    """Ends a run whose budget in minutes is spent before the steps that it was thought to hold."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def start(self, state: TrainState) -> None:
        self.step(state)  # a run that was cut off after its last step has none left

    def step(self, state: TrainState) -> None:
        if state.seconds["total"] > self.seconds:
            state.ask("the minutes are spent")


@contextlib.contextmanager
def stop_on_signals(state: TrainState) -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGUSR1 ask the run to stop after its step; a second SIGINT interrupts at once.

    SIGUSR1 is what a cluster sends to warn of the end of a job's time.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return

    first = math.inf

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now, again = time.monotonic(), 0.0 if state.world is None else 1.0  # torchrun passes on what the terminal sends
        if number == signal.SIGINT and now - first > again:
            raise KeyboardInterrupt
        first = min(first, now)
        state.ask(signal.Signals(number).name)

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
