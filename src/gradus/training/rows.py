"""Where in a tensor the samples of a batch lie, and how large what it holds is, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


def largest(tensor: Tensor, axis: int | None = None) -> Tensor | None:
    """The largest absolute value of each index along an axis, or of all, (1,); NaN where there is one.

    None of a tensor that holds nothing, or no numbers that could be other than finite.
    """
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.numel() == 0 or tensor.layout != torch.strided or not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    rows = tensor.reshape(1, -1) if axis is None else tensor.transpose(0, axis).reshape(tensor.shape[axis], -1)
    sizes: Tensor = torch.linalg.vector_norm(rows, math.inf, dim=1)
    return sizes


def axis_at(module: nn.Module, tensor: Tensor | PackedSequence, place: int, rows: int) -> int | None:
    """Along which axis of what a module takes or gives the samples lie; None where none is as long as they are many."""
    if isinstance(tensor, PackedSequence):
        return None
    time_first = getattr(module, "batch_first", True) is False
    memory = isinstance(module, nn.RNNBase) and place > 0  # (layers, batch, hidden)
    if (time_first or memory) and tensor.ndim > 1:
        return 1 if tensor.shape[1] == rows else None
    return axis_of(tensor, rows)


def axis_of(tensor: Tensor, rows: int) -> int | None:
    """Along which axis the samples lie, as far as the lengths tell: the first, or the second of three and more."""
    if tensor.ndim and tensor.shape[0] == rows:
        return 0
    return 1 if tensor.ndim > 2 and tensor.shape[1] == rows else None


def rows_of_packed(packed: PackedSequence) -> Tensor:
    """The sample of each step of a packed sequence, (steps,)."""
    rows = torch.cat([torch.arange(int(n)) for n in packed.batch_sizes])
    return rows if packed.sorted_indices is None else packed.sorted_indices.cpu()[rows]


def tensors_in(value: Any) -> Iterator[Tensor | PackedSequence]:
    """All tensors in a nest of tuples, lists and dictionaries."""
    if isinstance(value, Tensor | PackedSequence):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
