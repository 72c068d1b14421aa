"""The texts that are being written side by side: their places in one cache of keys and values, read together.

Rows 0 … n − 1 are always in use and none beyond: the last row takes the place of one that leaves. The cache grows by
doubling as rows and tokens come, so that memory is taken when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from gradus.language.graphs import CapturedSteps

STEP = 64  # places of the cache that are looked at: a multiple of it


class Decoder(Protocol):
    """What is needed of a language model for writing; ``GPT`` says what each does."""

    max_length: int

    def fresh_cache(self, batch_size: int, room: int) -> Tensor: ...

    def read_at(self, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor: ...

    def head(self, features: Tensor) -> Tensor: ...


class Rows:
    """The cache of several texts, and how many tokens of each it holds."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.lengths: list[int] = []
        self.cache = decoder.fresh_cache(1, STEP)
        self.captured: CapturedSteps | None = None
        if self.cache.device.type == "cuda":
            from gradus.language.graphs import CapturedSteps

            self.captured = CapturedSteps(decoder)

    def __len__(self) -> int:
        return len(self.lengths)

    def add(self) -> None:
        """A new row at the end, of no tokens yet."""
        self.lengths.append(0)

    def remove(self, row: int, last: int) -> None:
        """Take a row out: row ``last`` takes its place, and the last of all the place of that one."""
        for place, source in ((row, last), (last, len(self) - 1)):
            if place != source:
                self.cache[place, ..., : self.lengths[source], :] = self.cache[source, ..., : self.lengths[source], :]
                self.lengths[place] = self.lengths[source]
        self.lengths.pop()

    def read(self, row: int, ids: list[int]) -> Tensor:
        """Enter the next tokens of a row; the logits after the last, (1, size)."""
        room = self._grow(row + 1, self.lengths[row] + len(ids))
        told, starts = (torch.tensor(value, device=self.cache.device) for value in ([ids], self.lengths[row : row + 1]))
        features = self.decoder.read_at(told, starts, self.cache[row : row + 1], room)
        self.lengths[row] += len(ids)
        return self.decoder.head(features[:, -1])

    def step(self, tokens: list[int]) -> Tensor:
        """Enter the next token of each of the first rows; the logits after it, (rows, size)."""
        count = len(tokens)
        room = self._grow(count, max(self.lengths[:count]) + 1)
        if self.captured is not None:
            self._grow(len(self), max(self.lengths) + 1)  # a graph may enter something after any row's tokens
            logits = self.captured(tokens, self.lengths, self.cache, room)
        else:
            given = torch.tensor([tokens, self.lengths[:count]], device=self.cache.device)
            logits = self.decoder.head(
                self.decoder.read_at(given[0, :, None], given[1], self.cache[:count], room)[:, 0]
            )
        for row in range(count):
            self.lengths[row] += 1
        return logits

    def _grow(self, rows: int, room: int) -> int:
        """Make the cache as large as is asked, by doubling; the places to look at.

        They are a multiple of ``STEP``: of such lengths attention adds up in one order, however many are looked at.
        """
        have_rows, have_room = self.cache.shape[0], self.cache.shape[-2]
        while have_rows < rows:
            have_rows *= 2
        while have_room < room:
            have_room *= 2
        more_rows, more_room = have_rows - self.cache.shape[0], have_room - self.cache.shape[-2]
        if more_rows or more_room:
            self.cache = F.pad(self.cache, (0, 0, 0, more_room, *(0, 0) * 3, 0, more_rows))
        return -(-room // STEP) * STEP
