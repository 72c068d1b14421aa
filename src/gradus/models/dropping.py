"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # of a share; what is drawn for an element are 16 bits


class Dropout(nn.Dropout):
    """``nn.Dropout``; on a CPU, which draws one number after the other, each draw of 64 bits serves four elements.

    The share is rounded to a 65,536th there, and what is left is scaled by the rounded one: the mean is exact.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(LEVELS * self.p)
        if not self.training or x.device.type != "cpu" or not 0 < dropped < LEVELS:
            return super().forward(x)
        kept = _bits(x) >= dropped - LEVELS // 2
        return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))


@torch.library.custom_op("gradus::bits", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _bits(x: Tensor) -> Tensor:
    """16 random bits for each element, of x's shape; an operation of its own, which a compiler leaves as it is."""
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)
    return drawn[: x.numel()].view(x.shape)


@_bits.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=torch.int16)
