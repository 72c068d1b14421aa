"""Checkpoints while training goes on: a snapshot is copied, and a thread of low priority writes it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

import torch

from gradus.training.checkpoint import Copies, Snapshot, tidy
from gradus.training.loop import Observer
from gradus.training.rundir import RunDirectory
from gradus.training.state import TrainState
from gradus.training.triggers import Every, Trigger

SHARE = 50  # where saves go by the clock, training waits for them at most one part in so many of its time
RETRY = 10.0  # seconds after which a failed save is tried again
NICE = 10  # how far the writing thread stands back behind training; at 19 a busy machine would never let it write


class Checkpoints(Observer):
    """Saves the state every so often, and at the end of the loop.

    A save that fails is told and tried again; training goes on, and the older checkpoints stay. One save is written at
    a time: where the disk is slower than the interval, the next one begins when the one before is done.

    Args:
        keep: how many of the newest checkpoints are kept.
        tell: is told of failures.
        check: looks at the state before each save, and raises where it is not worth keeping.
    """

    def __init__(
        self,
        directory: RunDirectory,
        every: Every,
        keep: int,
        tell: Callable[[str], None],
        check: Callable[[TrainState], None] | None = None,
    ) -> None:
        self.directory, self.trigger, self.keep = directory, Trigger(every), keep
        self.tell, self.check = tell, check or (lambda state: None)
        self.copies = Copies()
        self.writing: _Writing | None = None
        self.wanted = False
        self.not_before = 0.0
        self.failures = 0

    def start(self, state: TrainState) -> None:
        self.saved_step = state.step  # a run begins, or goes on, from a checkpoint
        tidy(self.directory.checkpoints, self.keep)  # the process before may have been killed before it did
        self.begun, self.waited = time.monotonic(), 0.0
        self.trigger.restart()

    def step(self, state: TrainState) -> None:
        if self.writing is not None and self.writing.done:
            self._finish(state)
        self.wanted = self.wanted or self.trigger.due(state.step)
        if self.wanted and self.writing is None and time.monotonic() >= self.not_before:
            begun = time.perf_counter()
            self.check(state)
            self._begin(state)
            seconds = time.perf_counter() - begun
            state.seconds["save"] += seconds
            self.waited += seconds
            self.trigger.restart(at_least=SHARE * self.waited - (time.monotonic() - self.begun))

    def end(self, state: TrainState) -> None:
        begun = time.perf_counter()
        self._finish(state)
        if self.saved_step != state.step:
            self.check(state)
            self._begin(state, in_background=False)
            self._finish(state)
        state.seconds["save"] += time.perf_counter() - begun

    def _begin(self, state: TrainState, *, in_background: bool = True) -> None:
        self.wanted = False
        try:
            self.directory.rescue()
            self.directory.flush_lines()  # they are not in the snapshot
        except OSError as error:
            self._failed(state.step, error)
            return
        if in_background:
            try:
                snapshot = self.copies.of(state)
            except (MemoryError, RuntimeError, OSError):  # no memory for a copy: written as it is, while training waits
                self.copies, in_background = Copies(), False
        if not in_background:
            snapshot = Snapshot.of(state)
        self.writing = _Writing(snapshot, self.directory, self.keep, in_background=in_background)

    def _finish(self, state: TrainState) -> None:
        """Wait for the save that is being written, and hear what came of it."""
        if self.writing is None:
            return
        written, self.writing = self.writing, None
        error = written.wait()
        if error is None:
            self.saved_step, self.failures = written.snapshot.step, 0
            return
        if not isinstance(error, OSError):
            raise error
        self._failed(written.snapshot.step, error)

    def _failed(self, step: int, error: OSError) -> None:
        """Tell of a save that the disk refused, and have it tried again."""
        self.failures += 1
        if self.failures & (self.failures - 1) == 0:  # the 1st, 2nd, 4th, 8th … in a row
            self.tell(
                f"step {step}: the checkpoint could not be saved ({error.strerror or error}); "
                f"the one of step {self.saved_step} is kept, training goes on"
            )
        self.wanted = True
        self.not_before = time.monotonic() + RETRY


class _Writing:
    """One snapshot on its way to the disk."""

    def __init__(self, snapshot: Snapshot, directory: RunDirectory, keep: int, *, in_background: bool) -> None:
        self.snapshot, self.directory, self.keep = snapshot, directory, keep
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.ready: torch.cuda.Event | None = None
        if not in_background:
            self._write()
            return
        if torch.cuda.is_initialized():  # the copies are on their way from the device
            self.ready = torch.cuda.Event()
            self.ready.record()
        self.thread = threading.Thread(target=self._in_background, name="checkpoint", daemon=True)
        self.thread.start()

    @property
    def done(self) -> bool:
        return self.thread is None or not self.thread.is_alive()

    def wait(self) -> BaseException | None:
        """The error that it ended with, where it did."""
        if self.thread is not None:
            self.thread.join()
        return self.error

    def _in_background(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux threads have no priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        if self.ready is not None:
            self.ready.synchronize()
        self._write()

    def _write(self) -> None:
        try:
            self.directory.sync_lines()
            self.snapshot.write(self.directory.checkpoints, self.keep)
        except BaseException as error:
            self.error = error
            if self.thread is None and not isinstance(error, OSError):
                raise
