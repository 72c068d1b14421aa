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
from typing import IO, Any

from gradus.errors import UserError
from gradus.training.whole import sync_directory, write_json

# what a run has before it has its config.json
BEGUN = {
    "checkpoints", "tokenizer", "evidence", "figures", "log.txt", "doctor.json", ".doctor.json.partial",
    "kept.json", ".kept.json.partial", ".config.json.partial", ".lock",
}  # fmt: skip


class RunDirectory:
    """A run on disk. ``create`` makes a new one, ``open`` finds an old one.

    It is a run from the moment that it has its ``config.json``, which is written when all that it needs is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config: dict[str, Any] | None = None
        self._lock: IO[str] | None = None
        self._lines: dict[Path, Lines] = {}

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

    @property
    def accident(self) -> Path:
        """What stopped the run, where that was a number that isn't finite."""
        return self.path / "accident.json"

    @classmethod
    def create(cls, name: str, out: str | None) -> RunDirectory:
        """A new directory: ``out``, which must be empty or absent, or ``runs/NAME-DATE-TIME``.

        What a process that was killed has left of a run that it was about to begin is cleared away.
        """
        path = _fresh(Path("runs"), f"{name}-{time.strftime('%Y%m%d-%H%M%S')}") if out is None else Path(out)
        if is_run(path):
            raise UserError(f"{path}: holds a run already. Go on with gradus resume {path}, or name another --out.")
        there = {file.name for file in path.iterdir()} if path.is_dir() else set()
        if path.is_file() or there - BEGUN or (there and not there & {".lock", "checkpoints"}):
            raise UserError(f"{path}: is there already and isn't an empty directory. Name another --out.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            sync_directory(path.parent)
            made = cls(path)
            made.lock()
            made._clear(there)
        except OSError as error:
            raise UserError(
                f"{path}: the run's directory can't be made: {error.strerror}. Name another --out."
            ) from None
        return made

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
        self._config = config
        write_json(self.path / "config.json", config)

    def write_kept(self, kept: dict[str, Any]) -> None:
        """Keep what the data took from elsewhere, so that the run goes on where that is gone."""
        write_json(self.path / "kept.json", kept)

    def kept(self) -> dict[str, Any]:
        """What ``write_kept`` was given; empty where that was nothing."""
        return self._read("kept.json") if (self.path / "kept.json").exists() else {}

    def write_doctor(self, seen: dict[str, Any]) -> None:
        """What the doctor has seen of the run, in a form of its own."""
        write_json(self.path / "doctor.json", seen)

    def doctor_seen(self) -> dict[str, Any]:
        """What ``write_doctor`` was given; empty for a run from before there was a doctor."""
        return self._read("doctor.json") if (self.path / "doctor.json").exists() else {}

    def lock(self) -> None:
        """Make this process the only one that trains the run, until it ends, however it ends.

        Raises:
            UserError: where another process does.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            return
        self._lock = (self.path / ".lock").open("a")
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not shared with the processes that are forked
            if os.fstat(self._lock.fileno()).st_nlink == 0:  # given up by its owner just now
                self.lock()
        except BlockingIOError:
            raise UserError(
                f"{self.path}: another process is training this run. Wait for it, stop it, or name another --out."
            ) from None
        except OSError:  # a file system without locks
            return

    def unlock(self) -> None:
        """Let other processes train the run."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.path / ".lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_lines": {}}  # only one process holds it, and writes

    def rescue(self) -> None:
        """Make the directory anew where somebody removed it while the run was going on."""
        if self._config is not None and not (self.path / "config.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_config(self._config)
            self.log("the directory had been removed while the run was going on, and was made anew")

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
        """Add a line, with the time, to log.txt; nothing where the disk refuses: no run ends for want of its log."""
        with (
            contextlib.suppress(OSError),
            (self.path / "log.txt").open("a", encoding="utf-8", errors="replace") as file,
        ):
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of metrics.jsonl and samples.jsonl that are past a step: training will write them again.

        So is a last line that was cut short; one that is damaged and isn't the last stays where it is.
        """
        for path in (self.metrics, self.samples):
            if not path.exists():
                continue
            kept = 0
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n") or _step_of(line) > step:
                        break
                    kept += len(line)
            os.truncate(path, kept)

    def lines(self, path: Path) -> Lines:
        """A file of the run that lines are added to: ``metrics`` or ``samples``."""
        return self._lines.setdefault(path, Lines(path))

    def flush_lines(self) -> None:
        """Write the lines that the disk refused so far.

        Raises:
            OSError: where it still does.
        """
        for lines in self._lines.values():
            lines.flush()

    def sync_lines(self) -> None:
        """Have the disk hold what was logged so far, before a checkpoint says that it needn't be logged again."""
        for path in (self.metrics, self.samples):
            if path.exists():
                with path.open("r+b") as file:  # Windows syncs only what may be written
                    os.fsync(file.fileno())
        sync_directory(self.path)

    def remove_if_new(self) -> None:
        """Take back a directory that has not become a run."""
        if is_run(self.path):
            return
        with contextlib.suppress(OSError):
            self._clear({file.name for file in self.path.iterdir()})
            self.unlock()
            self.path.rmdir()
            if self.path.parent.name == "runs":
                self.path.parent.rmdir()  # refused where other runs are in it

    def _clear(self, names: set[str]) -> None:
        """Remove all of these but the lock, which tells that a run was about to begin here."""
        for name in names - {".lock"}:
            if (self.path / name).is_dir():
                shutil.rmtree(self.path / name)
            else:
                (self.path / name).unlink()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name}: damaged: {error}.") from None
        return value


class Lines:
    """A file that whole lines are added to. What the disk refuses waits for the next line; no run ends for want of it.

    Where the file was removed meanwhile, it is made anew with all that was in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting = b""
        self._handle: int | None = None

    def add(self, line: dict[str, Any]) -> None:
        """Add a JSON value as a line; NaN and infinity as words."""
        self.waiting += (json.dumps(finite(line), ensure_ascii=False) + "\n").encode("utf-8", errors="replace")
        with contextlib.suppress(OSError):
            self.flush()

    def flush(self) -> None:
        """Write what is waiting.

        Raises:
            OSError: where the disk refuses.
        """
        if self.waiting or self._handle is not None:
            handle = self._open()
            while self.waiting:
                self.waiting = self.waiting[os.write(handle, self.waiting) :]

    def close(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self.flush()
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        if self._handle is not None and os.fstat(self._handle).st_nlink == 0:
            size = os.fstat(self._handle).st_size
            os.lseek(self._handle, 0, os.SEEK_SET)
            before = os.read(self._handle, size)
            fresh = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)  # fails while there is no directory
            os.close(self._handle)
            self._handle, self.waiting = fresh, before + self.waiting
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        return self._handle


def is_run(path: str | Path | None) -> bool:
    """Whether there is a run at a path."""
    return path is not None and (Path(path) / "config.json").is_file()


def all_runs(below: Path) -> Iterator[RunDirectory]:
    """The runs directly below a directory, oldest first."""
    if below.is_dir():
        for config in sorted(below.glob("*/config.json"), key=lambda p: p.stat().st_mtime):
            yield RunDirectory(config.parent)


def _step_of(line: bytes) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # damaged
        return -1


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
