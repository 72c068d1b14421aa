"""Augmentation of whole batches of pictures, on their device, keyed by (seed, epoch, sample).

Each is a small frozen value with one method: pictures (batch, channels, height, width) in, the same shape out.
``samples`` are the pictures' ids; ``key`` is the hash of seed, epoch and place in the list; ``black`` is the value
that fills the room left empty. A sample's chance doesn't depend on the batch that it is in.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
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
class Rotate:
    """Turn each picture by up to ``degrees`` either way, and enlarge or shrink it by up to the share ``zoom``.

    What comes in from outside is the border mirrored, as by ``Crop``.
    """

    degrees: float = 10.0
    zoom: float = 0.0

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        chance = 2.0 * keyed_uniform(samples, 2, key) - 1.0
        angle, size = chance[:, 0] * math.radians(self.degrees), torch.exp(-chance[:, 1] * math.log1p(self.zoom))
        cos, sin, none = torch.cos(angle) * size, torch.sin(angle) * size, torch.zeros_like(angle)
        aspect = pictures.shape[2] / pictures.shape[3]  # the grid is square, the picture need not be
        rows = torch.stack([cos, -sin * aspect, none, sin / aspect, cos, none], dim=1).view(-1, 2, 3)
        grid = F.affine_grid(rows, list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class Colour:
    """Change brightness and contrast, and saturation where there are three channels, each by up to this share."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        chance = 2.0 * keyed_uniform(samples, 3, key) - 1.0
        strengths = chance.new_tensor([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = (1.0 + chance * strengths)[:, :, None, None, None].unbind(1)
        out = black + (pictures - black) * brightness
        mean = out.mean(dim=(1, 2, 3), keepdim=True)
        out = mean + (out - mean) * contrast
        if pictures.shape[1] != 3:
            return out
        grey = (out * out.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)  # Rec. 601
        return grey + (out - grey) * saturation


@dataclass(frozen=True)
class Erase:
    """Paint one square of each picture, of the share ``size`` of its height and width, with grey (DeVries 2017)."""

    size: float = 0.25
    probability: float = 1.0

    def __call__(self, pictures: Tensor, samples: Tensor, key: int, black: float) -> Tensor:
        chance = keyed_uniform(samples, 3, key)
        inside = torch.ones_like(chance[:, 0], dtype=torch.bool)[:, None, None]
        for axis in (2, 3):
            length = pictures.shape[axis]
            side = max(1, round(self.size * length))
            start = (chance[:, axis - 2] * (length + side)).floor()[:, None] - side  # may stand half outside
            place = torch.arange(length, device=pictures.device)
            along = (place >= start) & (place < start + side)
            inside = inside & (along[:, :, None] if axis == 2 else along[:, None, :])
        inside = inside & (chance[:, 2] < self.probability)[:, None, None]
        return pictures.masked_fill(inside[:, None], 0.0)


@dataclass(frozen=True)
class Mixup:
    """Blend each training sample, and its target, with another (Zhang et al. 2018).

    The share is drawn from a Beta(alpha, alpha) distribution, the other sample from the training rows: both depend
    on the sample alone, as all augmentation does. The dataset does the rest, for it knows the targets.
    """

    alpha: float = 0.2

    def partners(self, samples: Tensor, train: Tensor, key: int) -> Tensor:
        """The sample that each is blended with, int64 (batch,), out of the rows ``train``."""
        return train[(keyed_uniform(samples, 1, key)[:, 0] * len(train)).long()]

    def share(self, samples: Tensor, key: int) -> Tensor:
        """How much of each sample is kept, (batch,): the quantile function of Beta(alpha, alpha), interpolated."""
        table = _beta_quantiles(self.alpha, samples.device)
        place = keyed_uniform(samples, 2, key)[:, 1] * (len(table) - 1)
        below = place.long()
        return torch.lerp(table[below], table[below + 1], place - below)

    @staticmethod
    def blend(ours: Tensor, others: Tensor, share: Tensor) -> Tensor:
        share = share.view(-1, *[1] * (ours.ndim - 1))
        return share * ours + (1.0 - share) * others


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


@functools.lru_cache(maxsize=8)
def _beta_quantiles(alpha: float, device: torch.device) -> Tensor:
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, np.linspace(0.0, 1.0, 1025))).float().to(device)


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
