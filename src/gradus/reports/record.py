"""All that a page tells of a run, read from its directory alone: neither the data nor the model is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradus.errors import UserError
from gradus.training.rundir import RunDirectory
from gradus.training.whole import Tensors, read_directory

Line = dict[str, Any]


@dataclass
class Record:
    """A run as it stands on disk. ``summary`` and ``evidence`` are None where it isn't finished."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any] | None
    losses: list[Line]  # the lines of metrics.jsonl that hold a training loss
    checks: list[Line]  # those of a validation
    evidence: dict[str, Any] | None = None
    arrays: Tensors = field(default_factory=dict)
    figures: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Line] = field(default_factory=list)  # the lines of samples.jsonl: what was written at each check
    accident: dict[str, Any] | None = None  # the number that isn't finite and stopped it
    live: bool = False  # whether it is being trained while it is looked at

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def step(self) -> int:
        """The newest step that anything is known of."""
        last = [lines[-1]["step"] for lines in (self.losses, self.checks) if lines]
        return int(self.summary["steps"] if self.summary else max(last, default=0))

    @property
    def examined(self) -> bool:
        """Whether the doctor has looked at it."""
        return (self.path / "doctor.json").exists()

    @property
    def total_steps(self) -> int:
        return int(self.config["chosen"]["budget"]["value"])


class MetricsFile:
    """metrics.jsonl, read on from where the last look ended: a live page looks often, while training goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def read(self) -> tuple[list[Line], list[Line]]:
        """The lines of losses and those of checks so far; a last line that is not whole yet is left for later.

        Raises:
            UserError: naming the line that isn't JSON.
        """
        if not self.path.exists():
            return self.losses, self.checks
        if self.path.stat().st_size < self.offset:  # cut back, by a resume
            self._begin()
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self.offset += len(raw)
                self.lines += 1
                try:
                    line = json.loads(raw)
                    (self.checks if "valid" in line else self.losses).append(line)
                except (ValueError, TypeError):
                    raise UserError(f"{self.path}, line {self.lines}: damaged: not a line of JSON.") from None
        return self.losses, self.checks

    def _begin(self) -> None:
        self.offset = self.lines = 0
        self.losses: list[Line] = []
        self.checks: list[Line] = []


def read_record(directory: RunDirectory, metrics: MetricsFile | None = None, *, live: bool = False) -> Record:
    """A run, finished or not.

    Args:
        metrics: its metrics file as an earlier look left it.

    Raises:
        UserError: where a file of the run is damaged.
    """
    losses, checks = (metrics or MetricsFile(directory.metrics)).read()
    record = Record(directory.path, directory.config(), directory.summary(), losses, checks, live=live)
    if record.summary is not None and directory.evidence.is_dir():
        tensors, values = read_directory(directory.evidence)
        record.evidence, record.arrays = values["evidence"], tensors["arrays"]
    record.samples = _samples(directory.samples)
    if record.summary is None and directory.accident.exists():
        try:
            record.accident = json.loads(directory.accident.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{directory.accident}: damaged: {error}.") from None
    for file in sorted(directory.figures.glob("*.json")):
        try:
            record.figures.append({"name": file.stem, **json.loads(file.read_text(encoding="utf-8"))})
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: damaged: {error}.") from None
    return record


def _samples(path: Path) -> list[Line]:
    """The lines of samples.jsonl, but one that isn't whole yet."""
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    except ValueError as error:
        raise UserError(f"{path}: damaged: {error}.") from None
