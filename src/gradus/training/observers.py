"""What looks at training: validation, early stopping, the metrics log, the terminal, checkpoints, signals.

Whatever decides about the run's future (validation, stopping) acts on steps alone; the clock decides only about
saving and showing.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any

from gradus.training import checkpoint
from gradus.training.loop import Observer
from gradus.training.rundir import RunDirectory, finite
from gradus.training.state import Best, TrainState
from gradus.training.triggers import Every, Trigger


class Validate(Observer):
    """Measures the model on the validation split every so many steps and after the last one."""

    def __init__(self, measure: Callable[[TrainState], dict[str, float]], every: Every) -> None:
        self.measure, self.trigger = measure, Trigger(every)

    def step(self, state: TrainState) -> dict[str, float] | None:
        if not self.trigger.due(state.step) and state.step != state.total_steps:
            return None
        begun = time.perf_counter()
        metrics = self.measure(state)
        state.seconds["validate"] += time.perf_counter() - begun
        return metrics


class EarlyStopping(Observer):
    """Keeps the weights of the least validation loss, and ends the run after ``patience`` checks without gain.

    The loss and not the metric: on some dozens of rows an accuracy moves by chance, and the best one comes too early.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def start(self, state: TrainState) -> None:
        self._judge(state)  # a run that was cut off right after its last check has nothing left to do

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        value = metrics["loss"]
        if value == value and (state.best is None or value < state.best.value):
            with state.weights_in_use() as model:
                weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            state.best = Best(value, state.step, weights)
            state.checks_without_gain = 0
            return
        state.checks_without_gain += 1
        self._judge(state)

    def _judge(self, state: TrainState) -> None:
        if state.checks_without_gain >= self.patience:
            state.stop = f"no gain in {self.patience} checks"


class MetricsLog(Observer):
    """Writes metrics.jsonl: every so many steps the mean loss since the last line, and each check.

    Here, and only here, the loss comes from the device to the host. ``last`` is the newest line. The norm of the
    gradient is asked for ahead of the steps that are logged, and computed in no other.
    """

    def __init__(self, directory: RunDirectory, every_steps: int, batches_per_epoch: int) -> None:
        self.directory, self.every, self.batches_per_epoch = directory, every_steps, batches_per_epoch
        self.last: dict[str, Any] = {}
        self.file: IO[str] | None = None

    def start(self, state: TrainState) -> None:
        self.file = self.directory.metrics.open("a", encoding="utf-8")
        state.norm_wanted = self._due(state.step + 1, state)

    def step(self, state: TrainState) -> None:
        state.norm_wanted = self._due(state.step + 1, state)
        if not self._due(state.step, state):
            return
        self.last = {
            **self._place(state),
            "loss": float(state.loss_sum) / max(state.loss_count, 1),
            "lr": state.optimizer.param_groups[0]["lr"],
            "grad_norm": None if state.grad_norm is None else float(state.grad_norm),
            "seconds": round(state.seconds["total"], 3),
        }
        state.loss_sum.zero_()
        state.loss_count = 0
        self._write(self.last)

    def checked(self, state: TrainState, metrics: dict[str, float]) -> None:
        self._write({**self._place(state), "valid": metrics})

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _due(self, step: int, state: TrainState) -> bool:
        return step % self.every == 0 or step == state.total_steps

    def _place(self, state: TrainState) -> dict[str, Any]:
        return {"step": state.step, "epoch": round(state.step / self.batches_per_epoch, 3)}

    def _write(self, line: dict[str, Any]) -> None:
        assert self.file is not None
        self.file.write(json.dumps(finite(line)) + "\n")
        self.file.flush()


class Checkpoints(Observer):
    """Saves the state every so often and at the end; spends at most about a fiftieth of the time on it.

    A save that fails is told and tried again later; training goes on, and the older checkpoints stay.
    """

    def __init__(self, directory: RunDirectory, every: Every, tell: Callable[[str], None]) -> None:
        self.directory, self.trigger, self.tell = directory, Trigger(every), tell

    def start(self, state: TrainState) -> None:
        self.saved_step = state.step  # a run begins, or goes on, from a checkpoint
        self.trigger.restart()

    def step(self, state: TrainState) -> None:
        if self.trigger.due(state.step):
            try:
                seconds = self._save(state)
            except OSError as error:
                self.tell(f"step {state.step}: the checkpoint could not be saved ({error.strerror}); training goes on")
                seconds = 1.0
            self.trigger.restart(at_least=50 * seconds)

    def end(self, state: TrainState) -> None:
        if self.saved_step != state.step:
            self._save(state)

    def _save(self, state: TrainState) -> float:
        begun = time.perf_counter()
        checkpoint.save(self.directory.checkpoints, state)
        self.saved_step = state.step
        seconds = time.perf_counter() - begun
        state.seconds["save"] += seconds
        return seconds


class OutOfTime(Observer):
    """Ends a run whose budget in minutes is spent before the steps that it was thought to hold."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def step(self, state: TrainState) -> None:
        if state.seconds["total"] > self.seconds:
            state.stop = "the minutes are spent"


@contextlib.contextmanager
def stop_on_signals(state: TrainState) -> Iterator[None]:
    """Within it SIGINT and SIGTERM ask the run to stop after its step; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if state.stop is not None and state.stop.startswith("SIG"):
            raise KeyboardInterrupt
        state.stop = signal.Signals(number).name

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
