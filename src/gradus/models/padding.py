"""Which places of a padded batch are real, and the mean, largest and last of the real ones.

Rows are padded at their ends. Nothing here asks the device for a number, so that a GPU is never waited for.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_of(ids: Tensor, padding: int) -> Tensor:
    """The number of real tokens of each row, int64 (batch,), at least 1: an empty row is read as one padding token."""
    return (ids != padding).sum(1).clamp(min=1)


def mask_of(lengths: Tensor, time: int) -> Tensor:
    """True where a token is real, (batch,) → (batch, time)."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def masked_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """The mean over the real places, (batch, time, features) → (batch, features)."""
    real = mask_of(lengths, x.shape[1])[..., None]
    return x.masked_fill(~real, 0).sum(1) / lengths[:, None]


def masked_max(x: Tensor, lengths: Tensor) -> Tensor:
    """The largest over the real places, (batch, time, features) → (batch, features)."""
    return x.masked_fill(~mask_of(lengths, x.shape[1])[..., None], -torch.inf).amax(1)


def last(x: Tensor, lengths: Tensor) -> Tensor:
    """The last real place, (batch, time, features) → (batch, features)."""
    place = (lengths - 1)[:, None, None].expand(-1, 1, x.shape[2])
    return x.gather(1, place).squeeze(1)


def reversed_rows(x: Tensor, lengths: Tensor) -> Tensor:
    """The real places of each row in the reverse order, the padding where it was; done twice it changes nothing.

    Shapes: (batch, time, features) → the same.
    """
    time = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - time
    place = torch.where(mirrored >= 0, mirrored, time)
    return x.gather(1, place[..., None].expand_as(x))


def some_left_out(ids: Tensor, share: float, padding: int, training: bool) -> Tensor:
    """The ids with a share of them replaced by padding, each time others; the ids as they are outside training."""
    if not training or share == 0:
        return ids
    return ids.masked_fill(torch.rand(ids.shape, device=ids.device) < share, padding)
