"""Checkpoints: the whole state of a run under ``checkpoints/STEP``, the newest few of them kept.

``save`` and ``load_newest`` are all that a loop of one's own needs; ``Snapshot`` is a copy of the state that can be
written while training goes on.
"""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradus.errors import UserError
from gradus.training.state import FORMAT, TrainState, split_state
from gradus.training.whole import Tensors, discard, distinct, read_directory, remove, sweep, write_directory

LARGE = 1 << 22  # bytes from which a tensor is worth large memory pages


@dataclass
class Snapshot:
    """What a checkpoint of a step holds: files of tensors, and one JSON value."""

    step: int
    files: dict[str, Tensors]
    value: dict[str, Any]

    @classmethod
    def of(cls, state: TrainState) -> Snapshot:
        """The state as it is: the tensors are the live ones, so write it before the next step."""
        files, value = state.save_to()
        return cls(state.step, files, value)

    def write(self, directory: Path, keep: int) -> int:
        """Write it as ``directory/STEP``, then remove all but the newest ``keep``; gives its bytes.

        Raises:
            OSError: where the disk refuses; the older checkpoints are untouched.
        """
        directory.mkdir(exist_ok=True)
        size = write_directory(directory / f"{self.step:08d}", self.files, {"state": self.value})
        tidy(directory, keep)
        return size


class Copies:
    """Makes snapshots that training doesn't change, in memory that is used again for the next one."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}

    def of(self, state: TrainState) -> Snapshot:
        """A copy of the state. On a GPU it is complete only after ``torch.accelerator.synchronize``."""
        snapshot = Snapshot.of(state)
        for file, tensors in snapshot.files.items():
            if file == "best":  # is never changed, only replaced by a better one
                continue
            kept, aliases = distinct(tensors)
            copies = {name: self._copy((file, name), tensor) for name, tensor in kept.items()}
            snapshot.files[file] = copies | {alias: copies[name] for alias, name in aliases.items()}
        return snapshot

    def _copy(self, key: tuple[str, str], tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = self._buffers[key] = _memory_for(tensor)
        return buffer.copy_(tensor.detach(), non_blocking=True)


def _memory_for(tensor: Tensor) -> Tensor:
    """Memory on the host for a copy of a tensor."""
    if tensor.device.type == "cuda":  # a GPU copies to such memory while it goes on computing
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    if tensor.nbytes < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    memory = mmap.mmap(-1, tensor.nbytes)
    with contextlib.suppress(OSError):  # large pages: the first copy takes a third of the time
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=tensor.dtype).view(tensor.shape)


def save(directory: Path, state: TrainState, *, keep: int = 2) -> int:
    """Write the state as ``directory/STEP`` and remove all but the newest ``keep``; gives its bytes.

    Raises:
        OSError: where the disk refuses; the older checkpoints are untouched.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    return Snapshot.of(state).write(directory, keep)


def tidy(directory: Path, keep: int | None = None) -> None:
    """Remove all but the newest ``keep`` and what was left half written; what can't be removed now, the next time."""
    with contextlib.suppress(OSError):
        for step in steps(directory)[:-keep] if keep else []:
            discard(directory / f"{step:08d}")
        sweep(directory)


def load_newest(directory: Path, state: TrainState) -> list[str]:
    """Restore the newest checkpoint that verifies; gives a line about each newer one that didn't.

    Those are set aside as ``STEP.damaged``, so that they don't count among the ones that are kept.

    Raises:
        UserError: where none verifies.
    """
    damaged: list[tuple[Path, str]] = []
    for step in reversed(steps(directory)):
        path = directory / f"{step:08d}"
        try:
            tensors, values = read_directory(path)
            value = values["state"]
        except (UserError, KeyError) as error:
            damaged.append((path, f"checkpoint {step} passed over: {error}"))
            continue
        if value.get("format") != FORMAT:
            raise UserError(f"{path}: was saved by another version of gradus; resume it with that one.")
        state.load_from(tensors, value)
        tidy(directory)
        for other, _ in damaged:
            with contextlib.suppress(OSError):
                remove(other.with_suffix(".damaged"))
                other.rename(other.with_suffix(".damaged"))
        return [line for _, line in damaged]
    raise UserError(f"{directory}: no checkpoint that is whole{': ' + damaged[0][1] if damaged else ''}.")


def steps(directory: Path) -> list[int]:
    """The steps of which there are checkpoints, rising."""
    if not directory.is_dir():
        return []
    return sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())


def size_of(state: TrainState) -> int:
    """About how many bytes a checkpoint takes: weights, two moments of each, an average, the best."""
    weights: int = sum(t.numel() * t.element_size() for t in split_state(state.model)[0].values())
    return weights * (3 + (state.average is not None) + (state.best is not None))
