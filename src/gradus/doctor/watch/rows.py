"""Signatures of rows: which examples a pass was given, in eight bytes each; and what their numbers are like."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from gradus.doctor.signals import Summary

POSITIONS = 64  # of a row that its signature is made from
ROWS = 4096  # of a batch that are signed


@functools.lru_cache(maxsize=64)
def _key(size: int) -> tuple[Tensor | None, Tensor]:
    chance = np.random.default_rng(size)  # of its own: the program's generators are never touched
    places = None if size <= POSITIONS else torch.from_numpy(np.sort(chance.choice(size, POSITIONS, replace=False)))
    return places, torch.from_numpy(chance.standard_normal(min(size, POSITIONS)))


def signatures(batch: Tensor) -> list[int]:
    """A number for each row of a batch, equal for equal rows.

    Args:
        batch: (rows, …), of any type and device.
    """
    if batch.ndim == 0 or batch.numel() == 0:
        return []
    flat = batch.detach()[:ROWS].reshape(min(len(batch), ROWS), -1)
    places, weights = _key(flat.shape[1])
    if places is not None:
        flat = flat[:, places.to(flat.device)]
    numbers = flat.cpu().double()
    values = torch.nan_to_num(numbers) * weights
    found: list[int] = values.sum(1).contiguous().view(torch.int64).tolist()
    return found


def summarise(summary: Summary, tensor: Tensor) -> None:
    """Add a tensor's numbers to those seen before."""
    values = tensor.detach()
    if not values.numel() or values.is_sparse or values.is_complex():
        return
    values = values.float()
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        summary.unfinite += 1
        values = values[finite]
        if not values.numel():
            return
    low, high = (float(v) for v in torch.aminmax(values))
    mean, std = float(values.mean()), float(values.std(correction=0))
    n = summary.seen
    summary.low, summary.high = min(summary.low, low), max(summary.high, high)
    summary.mean = (summary.mean * n + mean) / (n + 1)
    summary.std = (summary.std * n + std) / (n + 1)
    summary.seen += 1


def features(tensor: Tensor) -> list[tuple[float, float]]:
    """Mean and deviation of each column of a table of numbers, the first 256; [] for whatever isn't one."""
    if tensor.ndim != 2 or not tensor.is_floating_point() or len(tensor) < 4:
        return []
    columns = tensor.detach()[:, :256].float()
    return list(zip(columns.mean(0).tolist(), columns.std(0, correction=0).tolist(), strict=True))
