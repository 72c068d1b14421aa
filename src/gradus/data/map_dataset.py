"""Any ``torch.utils.data.Dataset`` as a dataset of batches, read sample by sample; by other processes where slow."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gradus.data.columns import Target
from gradus.data.dataset import Batch, Dataset, Draw, Requests
from gradus.data.order import mix
from gradus.data.splits import Splits
from gradus.data.workers import read_ahead
from gradus.errors import UserError


class MapDataset(Dataset):
    """Any ``torch.utils.data.Dataset`` of (input, target) pairs, taken as it is and read sample by sample.

    Where its ``__getitem__`` draws at random, the draw is keyed by (seed, epoch, sample): Python's, NumPy's and
    torch's generators are seeded so before each sample, and put back after the batch. So it doesn't matter how many
    processes read ahead (``workers``; 0 reads here), or whether they do.
    """

    def __init__(self, samples: Any, splits: Splits, target: Target, name: str, fingerprint: str) -> None:
        self.samples, self.splits, self.target = samples, splits, target
        self.name, self.fingerprint = name, fingerprint
        self._device, self._channels_last = torch.device("cpu"), False
        first = self._pair(0)[0]
        self._shape = tuple(torch.as_tensor(first).shape)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def place(self) -> torch.device:
        return torch.device("cpu")

    def stream(self, requests: Requests) -> Iterator[Batch]:
        if self.workers == 0:
            yield from super().stream(requests)
            return
        here = self.to(torch.device("cpu"), channels_last=self._channels_last)
        for batch in read_ahead(here, requests, self.workers, pin=self._device.type == "cuda"):
            yield batch.to(self._device)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self._shape

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        draw = draw or Draw(0, 0)
        saved = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        pairs = []
        for i in indices.tolist():
            key = mix(draw.seed, draw.epoch, i)
            random.seed(key)
            np.random.seed(key & 0xFFFFFFFF)
            torch.default_generator.manual_seed(key)
            pairs.append(self._pair(i))
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.random.set_rng_state(saved[2])
        try:
            inputs = torch.stack([torch.as_tensor(x) for x, _ in pairs])
            targets = torch.stack([torch.as_tensor(y) for _, y in pairs])
        except (RuntimeError, TypeError) as error:
            raise UserError(f"{self.name}: samples of one batch don't stack: {error}") from None
        inputs = inputs.to(self._device, non_blocking=True)
        if inputs.ndim == 4 and self._channels_last:
            inputs = inputs.to(memory_format=torch.channels_last)
        if self.target.labels:
            targets = targets.float() if len(self.target.labels) == 2 else targets.long()
        elif targets.dtype == torch.float64:
            targets = targets.float()
        return Batch(inputs, targets.to(self._device, non_blocking=True), indices)

    def to(self, device: torch.device, *, channels_last: bool = False) -> Self:
        moved = copy.copy(self)
        moved._device, moved._channels_last = device, channels_last
        return moved

    def _pair(self, index: int) -> tuple[Any, Any]:
        sample = self.samples[index]
        if isinstance(sample, tuple | list) and len(sample) == 2:
            return sample[0], sample[1]
        raise UserError(
            f"{self.name}: sample {index} is a {type(sample).__name__}, not a pair (input, target). "
            "Return two values from __getitem__."
        )
