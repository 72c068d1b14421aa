"""Windows over a series: some steps of history in, the next steps of the target out, each split a stretch of time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gradus.data.columns import Target
from gradus.data.dataset import Batch, Dataset, Draw
from gradus.data.encoder import Encoder
from gradus.data.history import Grid, History
from gradus.data.splits import Splits
from gradus.data.times import told
from gradus.errors import UserError


class SeriesDataset(Dataset):
    """Windows over a series in memory, gathered by index: inputs (batch, history, features), targets (batch, horizon).

    Window i reads the rows from i on; the target is the first feature. A window belongs to the split that holds all
    of its targets, and its history may reach back into the split before. No window is kept whose targets, or whose
    last step of history, were filled in.

    Args:
        ends: the rows of training, validation and test, each from where the one before ended.
        season: steps in what repeats, 1 where nothing does.
    """

    encoder: Encoder

    def __init__(
        self,
        name: str,
        grid: Grid,
        column: History,
        target: Target,
        ends: tuple[int, int, int],
        *,
        season: int,
        fingerprint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self.name, self.grid, self.target, self.season = name, grid, target, season
        self.ends, self.fingerprint, self.notes = ends, fingerprint, tuple(notes)
        self.splits = windows(grid.measured, column.history, column.horizon, ends)
        self._read(Encoder((column,), target))

    def _read(self, encoder: Encoder) -> None:
        column = encoder.columns[0]
        assert isinstance(column, History)
        self.encoder, self.target, self.column = encoder, encoder.target, column
        self.values = torch.from_numpy(column.encode(self.grid.values))
        steps = torch.arange(column.history + column.horizon)
        self._before, self._after = steps[: column.history], steps[column.history :]

    def __len__(self) -> int:
        return len(self.values) - self.column.history - self.column.horizon + 1

    @property
    def place(self) -> torch.device:
        return self.values.device

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.column.shape

    @property
    def num_outputs(self) -> int:
        """The steps that are forecast."""
        return self.column.horizon

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        before, after = (indices[:, None] + steps for steps in (self._before, self._after))
        inputs = self.values.index_select(0, before.flatten()).view(*before.shape, -1)
        return Batch(inputs, self.values[:, 0].index_select(0, after.flatten()).view(after.shape), indices)

    def to(self, device: torch.device, *, channels_last: bool = False) -> Self:
        moved = copy.copy(self)
        for name in ("values", "_before", "_after"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def encoded_by(self, encoder: Encoder) -> SeriesDataset:
        """The same windows as another encoder reads them, that of a run, say.

        Raises:
            UserError: where it reads other columns, or other numbers of steps.
        """
        column = encoder.columns[0]
        mine = self.column
        if not isinstance(column, History) or (column.features, column.shape, column.horizon) != (
            mine.features, mine.shape, mine.horizon
        ):  # fmt: skip
            raise UserError(f"{self.name}: {mine.describe()}; the run reads {column.describe()}.")
        other = copy.copy(self)
        other._read(encoder)
        return other

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        """When a window's history ends and its forecast begins."""
        first = row + self.column.history
        before, after = told(self.grid.times[first - 1 : first + 1])
        return {"history to": before, "forecast from": after}

    def times(self, row: int, past: int) -> list[str]:
        """When the last ``past`` steps of a window's history are, and then its targets."""
        first = row + self.column.history
        return told(self.grid.times[first - past : first + self.column.horizon])

    def describe(self) -> str:
        first, last = told(self.grid.times[[0, -1]])
        counts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        return f"{self.name}: {len(self.values):,} steps ({self.column.step}), {first} to {last}; windows: {counts}"


def windows(measured: np.ndarray, history: int, horizon: int, ends: tuple[int, int, int]) -> Splits:
    """The windows of each split, by where their histories begin.

    Args:
        measured: where values weren't filled in, (time, features), the target first.
        ends: the rows of training, validation and test, each from where the one before ended.
    """
    first = np.arange(history, len(measured) - horizon + 1)  # the first target of each window
    filled = np.concatenate([[0], np.cumsum(~measured[:, 0])])
    good = (filled[first + horizon] == filled[first]) & measured[first - 1].all(axis=1)
    return {
        name: first[good & (first >= begin) & (first + horizon <= end)] - history
        for name, begin, end in zip(("train", "valid", "test"), (0, *ends), ends, strict=False)
    }
