"""Attention, softmax(Q Kᵀ / √d) V (Vaswani et al. 2017), by the library's fused kernel; its weights for a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Each query takes the mean of the memory's values, weighed by how well their keys fit: softmax(Q Kᵀ / √d) V.

    Several heads do so side by side, each on its own d = width / heads of the features. A mask is True where a query
    may look: (batch, places), or (batch, time, places).

    Args:
        width: features of queries, memory and result.
        heads: how many.
        dropout: share of the weights that is dropped in training.
        bias: whether the affine maps have one.
        qk_norm: bring each query and key to a root mean square of 1, which bounds their products (Henry et al. 2020).

    Shapes: query (batch, time, width), memory (batch, places, width) → (batch, time, width).
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True, qk_norm: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be shared among {heads} heads; make it a multiple.")
        self.heads, self.dropout, self.qk_norm = heads, dropout, qk_norm
        self.queries = nn.Linear(width, width, bias)
        self.keys_values = nn.Linear(width, 2 * width, bias)
        self.out = nn.Linear(width, width, bias)
        for part in (self.queries, self.keys_values):  # as torch.nn.MultiheadAttention begins
            nn.init.uniform_(part.weight, -math.sqrt(1.5 / width), math.sqrt(1.5 / width))
        if bias:
            for part in (self.queries, self.keys_values, self.out):
                nn.init.zeros_(part.bias)

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Tensor | None = None,
    ) -> Tensor:
        """Attend to a memory, or to the queries themselves; see ``attend`` for the rest."""
        return self.attend(query, self.remember(query if memory is None else memory, turn), mask, causal, turn)

    def remember(self, memory: Tensor, turn: Tensor | None = None) -> Tensor:
        """The keys and values of a memory, all that attention asks of it: (batch, 2, heads, places, d)."""
        both = self.keys_values(memory).unflatten(2, (2, self.heads, -1)).permute(0, 2, 3, 1, 4)
        if turn is None and not self.qk_norm:
            return both
        keys, values = both.unbind(1)
        return torch.stack([self._placed(keys, turn), values], dim=1)

    def attend(
        self,
        query: Tensor,
        remembered: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Tensor | None = None,
    ) -> Tensor:
        """Attend to what ``remember`` gave, (batch, time, width).

        Args:
            causal: the queries are the last ``time`` places of the memory, and none looks past its own.
            turn: what ``rotary`` gave for the places of the queries.
        """
        keys, values = remembered.unbind(1)
        time, places = query.shape[1], keys.shape[2]
        if causal and time < places:
            if time > 1:  # a single query is at the last place, and may look at all
                mask = torch.ones(1, time, places, dtype=torch.bool, device=query.device).tril(places - time)
            causal = False
        mixed = F.scaled_dot_product_attention(
            self._queries(query, turn),
            keys,
            values,
            _for_heads(mask),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(
        self, query: Tensor, memory: Tensor | None = None, mask: Tensor | None = None, turn: Tensor | None = None
    ) -> Tensor:
        """How much each query takes from each place, for a picture: (batch, heads, time, places); rows sum to 1."""
        keys = self.remember(query if memory is None else memory, turn)[:, 0]
        queries = self._queries(query, turn)
        fit = queries @ keys.mT / math.sqrt(queries.shape[-1])
        allowed = _for_heads(mask)
        return torch.softmax(fit if allowed is None else fit.masked_fill(~allowed, -torch.inf), dim=-1)

    def _queries(self, query: Tensor, turn: Tensor | None) -> Tensor:
        return self._placed(self.queries(query).unflatten(2, (self.heads, -1)).transpose(1, 2), turn)

    def _placed(self, x: Tensor, turn: Tensor | None) -> Tensor:
        """Queries or keys, (batch, heads, time, d), normed and turned as asked for."""
        if self.qk_norm:
            x = F.rms_norm(x, x.shape[-1:])
        return x if turn is None else turned(x, turn)


def rotary(
    start: int,
    time: int,
    width: int,
    like: Tensor,
    theta: float = 10_000.0,
    stretch: tuple[float, ...] | None = None,
) -> Tensor:
    """Cosines and sines of the angles by which features are turned at places from ``start`` on (RoPE, Su et al. 2021).

    A product of a query and a key, both turned, depends on how far apart they are and not on where they stand.

    Args:
        width: d, the features of a head; each pair of them has a speed of its own, from 1 to about 1 / theta a place.
        like: gives the device and the type.
        stretch: for texts longer than those of training: (factor,) slows all pairs down (Chen et al. 2023), and
            (factor, low, high, length), as Llama 3.1 has it, wholly those that turn less than ``low`` times within
            that length, and none that turns more than ``high`` times.

    Shapes: (2, time, width / 2).
    """
    exact = torch.promote_types(like.dtype, torch.float32)
    speeds = theta ** (-torch.arange(0, width, 2, device=like.device, dtype=exact) / width)
    if stretch is not None:
        speeds = _stretched(speeds, *stretch)
    angles = torch.arange(start, start + time, device=like.device, dtype=exact)[:, None] * speeds
    return torch.stack([angles.cos(), angles.sin()]).to(like.dtype)


def _stretched(speeds: Tensor, factor: float, low: float = 0.0, high: float = 0.0, length: float = 0.0) -> Tensor:
    if not length:
        return speeds / factor
    left_alone = ((length * speeds / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return speeds * (left_alone + (1 - left_alone) / factor)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Each feature of the first half and its partner of the second, turned as a point of the plane is.

    Shapes: (batch, heads, time, d) → the same.
    """
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _for_heads(mask: Tensor | None) -> Tensor | None:
    """A mask in the shape of all heads' weights, (batch, 1, 1 or time, places)."""
    if mask is None:
        return None
    return mask[:, None, None] if mask.ndim == 2 else mask[:, None]
