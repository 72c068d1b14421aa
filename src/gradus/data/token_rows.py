"""What datasets of tokens have in common: rows of unequal length in memory, of which batches are put together."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor

from gradus.data.dataset import Batch, Dataset, Inputs
from gradus.data.encoder import Encoder
from gradus.data.ragged import Ragged
from gradus.data.tokens import Tokens


class TokenRows(Dataset):
    """Rows of ids, ``source``, in the vocabulary of the encoder's first column."""

    encoder: Encoder
    source: Ragged
    _device = torch.device("cpu")

    @property
    def tokens(self) -> Tokens:
        """The vocabulary that is read."""
        column = self.encoder.columns[0]
        assert isinstance(column, Tokens)
        return column

    @property
    def num_tokens(self) -> int:
        """How many tokens the vocabulary that is read has: for an embedding."""
        return self.tokens.size

    def __len__(self) -> int:
        return len(self.source)

    @property
    def place(self) -> torch.device:
        return torch.device("cpu")  # a batch is put together there, whose tensors are small

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (int(self.source.lengths.max()),)

    def to(self, device: torch.device, *, channels_last: bool = False) -> Self:
        moved = copy.copy(self)
        moved._device = device
        return moved

    def _given(self, inputs: Inputs, targets: Tensor, indices: Tensor, count: int) -> Batch:
        """A batch, on the device that it is for."""
        batch = Batch(inputs, targets, indices, count)
        if self._device.type == "cpu":
            return batch
        return (batch.pin_memory() if self._device.type == "cuda" else batch).to(self._device)
