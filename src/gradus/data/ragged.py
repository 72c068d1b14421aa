"""Rows of unequal length, end to end in one array: how tokenised texts are kept, in memory or in a memory map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Row i is ``flat[starts[i]:starts[i + 1] + overlap]``.

    ``flat`` holds whole numbers, ``starts`` is int64 (rows + 1,). ``overlap`` is how many tokens a row shares with the
    next: one, where a text is cut into blocks and each token is to be foretold once.
    """

    flat: np.ndarray
    starts: np.ndarray
    overlap: int = 0

    @classmethod
    def of(cls, rows: Iterable[np.ndarray | list[int]], dtype: type = np.int32) -> Ragged:
        """Rows put end to end."""
        arrays: list[np.ndarray] = [np.asarray(row, dtype=dtype) for row in rows]
        starts = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(a) for a in arrays], out=starts[1:])
        return cls(np.concatenate([np.empty(0, dtype=dtype), *arrays]), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.flat[self.starts[row] : self.starts[row + 1] + self.overlap]

    @property
    def lengths(self) -> np.ndarray:
        """How long each row is, int64 (rows,)."""
        return np.asarray(np.diff(self.starts)) + self.overlap

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """How long these rows are, int64 (len(rows),): of a few among very many."""
        return np.asarray(self.starts[rows + 1] + self.overlap - self.starts[rows])

    def cut(self, most: int) -> Ragged:
        """The same rows, each at most so long."""
        lengths = np.minimum(self.lengths, most)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        inner = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Ragged(self.flat[np.repeat(self.starts[:-1], lengths) + inner], starts)

    def padded(self, rows: np.ndarray, fill: int = 0, *, first: int = 0, drop: int = 0) -> Tensor:
        """These rows side by side, int64 (len(rows), the longest's length), filled up to the right.

        Args:
            first: how many tokens are left out at the beginning of each row.
            drop: how many are left out at its end.
        """
        begin = self.starts[rows] + first
        lengths = np.maximum(self.starts[rows + 1] + self.overlap - drop - begin, 0)
        places = np.arange(lengths.max(initial=0))
        there = places < lengths[:, None]
        values = self.flat[np.where(there, begin[:, None] + places, 0)] if len(self.flat) else np.zeros(there.shape)
        return torch.from_numpy(np.where(there, values.astype(np.int64), fill))
