"""Ways to break the promise on purpose, each a bug that real programs have had: the harness must find every one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def forget_the_optimiser() -> None:
    """Weights are restored, the optimiser's moments are not."""
    from gradus.training.state import TrainState

    load_from = TrainState.load_from

    def without(self: TrainState, files: dict[str, Any], value: dict[str, Any]) -> None:
        fresh = self.optimizer.state_dict()
        load_from(self, files, value)
        self.optimizer.load_state_dict(fresh)

    TrainState.load_from = without  # type: ignore[method-assign]


def chance_of_the_process() -> None:
    """Dropout draws on from where the process stands, not from the step."""
    from gradus.training import step

    started: list[bool] = []

    def seed_once(seed: int, *_: Any, **__: Any) -> None:
        if not started:
            torch.manual_seed(seed)
            started.append(True)

    step.seed_step = seed_once


def log_that_is_not_cut() -> None:
    """Steps after the checkpoint stand in the metrics log twice."""
    from gradus.training.rundir import RunDirectory

    RunDirectory.cut_metrics = lambda self, step: None  # type: ignore[method-assign]


def average_begins_anew() -> None:
    """The averaged weights start from the restored ones."""
    from gradus.training.state import TrainState

    load_from = TrainState.load_from

    def without(self: TrainState, files: dict[str, Any], value: dict[str, Any]) -> None:
        average, self.average = self.average, None
        load_from(self, files, value)
        if average is not None:
            for mine, live in zip(average.weights, average.live, strict=True):
                mine.copy_(live.detach())
        self.average = average

    TrainState.load_from = without  # type: ignore[method-assign]


def settings_written_in_place() -> None:
    """config.json is emptied and then written, as ``open("w")`` does, and a kill comes between."""
    from gradus.training import rundir

    def in_place(path: Path, value: Any) -> None:
        words = json.dumps(value)
        with path.open("w", encoding="utf-8") as file:
            for start in range(0, len(words), 64):
                file.write(words[start : start + 64])
                file.flush()
                _slowly()

    rundir.write_json = in_place  # type: ignore[attr-defined]


def _slowly() -> None:
    import time

    time.sleep(0.002)


def nothing_is_synced() -> None:
    """All is written and renamed in the right order, and left to the system to put on the disk at its leisure."""
    import os

    os.fsync = lambda handle: None  # type: ignore[assignment]
