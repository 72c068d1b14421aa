"""The run directory: which files a run consists of, and the one place that knows their names."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradus.errors import UserError
from gradus.training.checkpoint import steps, write_json


class RunDirectory:
    """A run on disk. ``create`` makes a new one, ``open`` finds an old one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def predictor(self) -> Path:
        return self.path / "predictor"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @classmethod
    def create(cls, name: str, out: str | None) -> RunDirectory:
        """A new directory: ``out``, which must be empty or absent, or ``runs/NAME-DATE-TIME``."""
        if out is None:
            path = _fresh(Path("runs"), f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
        else:
            path = Path(out)
            if (path / "config.json").exists():
                raise UserError(f"{path}: holds a run already. Go on with gradus resume {path}, or name another --out.")
            if path.is_file() or (path.is_dir() and any(path.iterdir())):
                raise UserError(f"{path}: is there already and isn't an empty directory. Name another --out.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{path}: the run's directory can't be made: {error.strerror}. Name another --out."
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An old run.

        Raises:
            UserError: where the path is no run.
        """
        path = Path(path)
        if not path.exists():
            raise UserError(f"{path}: no such run. gradus runs lists the runs below a directory.")
        if not (path / "config.json").is_file():
            raise UserError(f"{path}: not a run: it has no config.json. gradus runs lists the runs below a directory.")
        return cls(path)

    def config(self) -> dict[str, Any]:
        return self._read("config.json")

    def summary(self) -> dict[str, Any] | None:
        """What the run came to; None where it isn't finished."""
        return self._read("summary.json") if (self.path / "summary.json").exists() else None

    def write_config(self, config: dict[str, Any]) -> None:
        write_json(self.path / "config.json", config)

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", finite(summary))

    def write_figure(self, name: str, figure: dict[str, Any]) -> None:
        """Write a picture as ``figures/NAME.json``; NaN and infinity become null, which a picture leaves out."""
        self.figures.mkdir(exist_ok=True)
        write_json(self.figures / f"{name}.json", _drawable(figure))

    def read_figures(self) -> dict[str, dict[str, Any]]:
        """The run's pictures by name, in the order in which they are shown."""
        return {file.stem: self._read(f"figures/{file.name}") for file in sorted(self.figures.glob("*.json"))}

    def log(self, line: str) -> None:
        """Add a line, with the time, to log.txt."""
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of metrics.jsonl and samples.jsonl that are past a step, or cut short: training will write
        them again.
        """
        for path in (self.metrics, self.samples):
            if not path.exists():
                continue
            kept = 0
            with path.open("rb") as file:
                for line in file:
                    try:
                        past = not line.endswith(b"\n") or json.loads(line)["step"] > step
                    except ValueError:
                        past = True
                    if past:
                        break
                    kept += len(line)
            os.truncate(path, kept)

    def remove_if_new(self) -> None:
        """Take back a directory in which nothing was trained yet."""
        if not steps(self.checkpoints) and not (self.path / "summary.json").exists():
            shutil.rmtree(self.path, ignore_errors=True)
            if self.path.parent.name == "runs":
                with contextlib.suppress(OSError):  # other runs are in it
                    self.path.parent.rmdir()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name}: damaged: {error}.") from None
        return value


def all_runs(below: Path) -> Iterator[RunDirectory]:
    """The runs directly below a directory, oldest first."""
    if below.is_dir():
        for config in sorted(below.glob("*/config.json"), key=lambda p: p.stat().st_mtime):
            yield RunDirectory(config.parent)


def finite(value: Any) -> Any:
    """A value with NaN and infinity as the words "nan", "inf" and "-inf": JSON has no numbers for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return value


def _drawable(value: Any) -> Any:
    """A value as JSON that plotly draws: arrays as lists, None for a number that is not finite."""
    if hasattr(value, "tolist"):  # an array or a tensor
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _drawable(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_drawable(child) for child in value]
    return value


def _fresh(parent: Path, name: str) -> Path:
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path
