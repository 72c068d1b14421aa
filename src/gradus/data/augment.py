"""Augmentation of whole batches of pictures, on their device, keyed by (seed, epoch, sample).

Each is a small frozen value with one method: pictures (batch, channels, height, width) in, the same shape out.
``samples`` are the pictures' ids; ``key`` is the hash of seed, epoch and place in the list; ``black`` is the value
that fills the room left empty. A sample's chance doesn't depend on the batch that it is in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data.order import keyed_uniform


class Augmentation(Protocol):
    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor: ...


@dataclass(frozen=True)
class Shift:
    """Move each picture by up to ``pixels`` in both directions, by whole pixels."""

    pixels: int = 2

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        width = 2 * self.pixels + 1
        move = (keyed_uniform(samples, 2, key) * width).long()  # 0 … 2 · pixels, down and right
        return _window(F.pad(pictures, (self.pixels,) * 4, value=black), move, pictures.shape[2:])


@dataclass(frozen=True)
class Crop:
    """Pad by ``padding`` pixels, reflected at the border, and cut a window of the old size out of it."""

    padding: int = 4

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        move = (keyed_uniform(samples, 2, key) * (2 * self.padding + 1)).long()
        return _window(F.pad(pictures, (self.padding,) * 4, mode="reflect"), move, pictures.shape[2:])


@dataclass(frozen=True)
class Flip:
    """Mirror each picture left to right with this probability."""

    probability: float = 0.5

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        mirrored = keyed_uniform(samples, 1, key)[:, 0] < self.probability
        return torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures)


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of this standard deviation, in units of the standardised picture, to every pixel."""

    std: float = 0.1

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        size = pictures[0].numel()
        uniform = keyed_uniform(samples, 2 * size, key)
        radius = torch.sqrt(-2.0 * torch.log1p(-uniform[:, :size]))  # Box and Muller 1958
        normal = radius * torch.cos(2.0 * math.pi * uniform[:, size:])
        return pictures + self.std * normal.view(pictures.shape)


def _window(padded: Tensor, start: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Cut from each padded picture the window that starts at its (row, column); start is int64 (batch, 2)."""
    height, width = size
    rows = start[:, :1] + torch.arange(height, device=start.device)  # (batch, height)
    columns = start[:, 1:] + torch.arange(width, device=start.device)  # (batch, width)
    batch = torch.arange(len(padded), device=start.device)[:, None, None]
    nhwc = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]  # (batch, height, width, channels)
    out = nhwc.permute(0, 3, 1, 2)
    channels_last = padded.is_contiguous(memory_format=torch.channels_last) and not padded.is_contiguous()
    return out if channels_last else out.contiguous()
