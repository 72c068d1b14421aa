"""A GPT laid out for writing: fewer and larger products, of which each may be done in another arithmetic.

Queries, keys and values come of one product, and so do the two halves of a gated hidden layer; the heads that share
keys are read as one; queries and keys are normed and turned together. The numbers are those of ``GPT.read_at``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models import GPT
from gradus.models.gpt import Block

Affine = Callable[[Tensor], Tensor]
MakeAffine = Callable[[Tensor, Tensor | None], Affine]  # of a weight (out, in) and a bias (out,)


@dataclass(frozen=True)
class Layer:
    """A block's parts; ``scales`` norms queries and keys together, (…, heads + kv_heads, d)."""

    attention_norm: Affine
    queries_keys_values: Affine
    scales: RootMeanSquare | None
    out: Affine
    hidden_norm: Affine
    up: Affine
    down: Affine


class Compact:
    """A ``Decoder`` with a model's weights.

    Args:
        model: in evaluation mode.
        affine: makes an affine map of a weight and a bias.
        dtype: of everything but what ``affine`` makes.
    """

    def __init__(self, model: GPT, affine: MakeAffine, dtype: torch.dtype = torch.float32) -> None:
        self.max_length, self.layers = model.max_length, model.layers
        self.heads, self.kv_heads, self.d = model.heads, model.kv_heads, model.head_width
        self.plain, self.gelu = model.plain, "tanh" if model.gelu_by_tanh else "none"
        self.table = model.embed.weight.detach().to(dtype)
        self.places = None if model.places is None else model.places.detach().to(dtype)
        cos, sin = model.turns
        self.turns = torch.stack([torch.cat([cos, cos], 1), torch.cat([-sin, sin], 1)], dim=1).to(dtype)
        self.norm = _plain_copy(model.norm, dtype)
        self.head = affine(model.head.weight.detach(), None)
        self.blocks = [self._layer(cast("Block", block), affine, dtype) for block in model.blocks]

    def fresh_cache(self, batch_size: int, room: int) -> Tensor:
        return self.table.new_zeros(batch_size, self.layers, 2, self.kv_heads, room, self.d)

    def read_at(self, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor:
        places = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
        late = torch.arange(room, device=ids.device) > places[:, None, :, None]
        mask = torch.zeros(late.shape, dtype=cache.dtype, device=ids.device).masked_fill_(late, -torch.inf)
        x = F.embedding(ids, self.table)
        if self.places is not None:
            x = x + self.places[places]
        turn = None if self.plain else self.turns[places].unsqueeze(3).unbind(2)
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        for layer, own in zip(self.blocks, cache[..., :room, :].unbind(1), strict=True):
            x += self._attention(layer, layer.attention_norm(x), turn, own, (rows, places), mask)
            hidden = layer.up(layer.hidden_norm(x))
            if self.plain:
                hidden = F.gelu(hidden, approximate=self.gelu)
            else:
                middle = hidden.shape[2] // 2
                hidden = F.silu(hidden[:, :, :middle]).mul_(hidden[:, :, middle:])
            x += layer.down(hidden)
        return self.norm(x)

    def _attention(
        self,
        layer: Layer,
        x: Tensor,
        turn: tuple[Tensor, ...] | None,
        cache: Tensor,
        where: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> Tensor:
        """What attention adds to (rows, time, width), by way of the layer's cache (rows, 2, kv_heads, room, d)."""
        rows, time, _ = x.shape
        heads, shared = self.heads, self.kv_heads
        mixed = layer.queries_keys_values(x).view(rows, time, heads + 2 * shared, self.d)
        turned = mixed[:, :, : heads + shared]
        if layer.scales is not None:
            turned = layer.scales(turned)
        if turn is not None:
            cos, sin = turn
            turned = torch.addcmul(turned * cos, turned.roll(self.d // 2, 3), sin)
        entered = torch.cat([turned[:, :, heads:], mixed[:, :, heads + shared :]], dim=2)
        cache[where[0], :, :, where[1]] = entered.view(rows, time, 2, shared, self.d)
        keys, values = cache.unbind(1)
        queries = turned[:, :, :heads]
        if time == 1:  # the queries that share keys stand side by side, as if they were several places
            queries = queries.view(rows, shared, heads // shared, self.d)
            return layer.out(F.scaled_dot_product_attention(queries, keys, values, mask).reshape(rows, 1, -1))
        found = F.scaled_dot_product_attention(queries.transpose(1, 2), keys, values, mask, enable_gqa=heads != shared)
        return layer.out(found.transpose(1, 2).flatten(2))

    def _layer(self, block: Block, affine: MakeAffine, dtype: torch.dtype) -> Layer:
        attention, hidden = block.attention, block.hidden
        scales = None
        if isinstance(attention.queries_norm, nn.RMSNorm) and isinstance(attention.keys_norm, nn.RMSNorm):
            both = ((attention.queries_norm, self.heads), (attention.keys_norm, self.kv_heads))
            together = torch.cat([norm.weight.detach().expand(count, -1) for norm, count in both]).to(dtype)
            scales = RootMeanSquare(together, attention.queries_norm.eps)
        return Layer(
            attention_norm=_plain_copy(block.attention_norm, dtype),
            queries_keys_values=_joined(affine, attention.queries, attention.keys, attention.values),
            scales=scales,
            out=_joined(affine, attention.out),
            hidden_norm=_plain_copy(block.hidden_norm, dtype),
            up=_joined(affine, *([] if hidden.gate is None else [hidden.gate]), hidden.up),
            down=_joined(affine, hidden.down),
        )


def _joined(affine: MakeAffine, *maps: nn.Linear) -> Affine:
    """One affine map that answers what several would, one after the other."""
    weight = torch.cat([part.weight.detach() for part in maps])
    biases = [part.bias.detach() for part in maps if part.bias is not None]
    return affine(weight, torch.cat(biases) if biases else None)


def _plain_copy(norm: nn.Module, dtype: torch.dtype) -> Affine:
    """A norm with weights of its own, in another type."""
    if isinstance(norm, nn.RMSNorm):
        return RootMeanSquare(norm.weight.detach().to(dtype, copy=True), norm.eps)
    return copy.deepcopy(norm).requires_grad_(False).to(dtype)


class RootMeanSquare:
    """x over its root mean square, times a weight, which may have more axes than the last.

    On a CPU the library's own takes a dozen operations, which of one token cost three times what these six do; a number
    that isn't a tensor already would cost two more.
    """

    def __init__(self, weight: Tensor, epsilon: float | None) -> None:
        size, self.epsilon = weight.shape[-1], epsilon or torch.finfo(weight.dtype).eps
        self.plain = weight.device.type != "cpu" or weight.dtype != torch.float32
        self.weight = weight if self.plain else weight * size**0.5
        self.small = torch.tensor(size * self.epsilon)

    def __call__(self, x: Tensor) -> Tensor:
        if self.plain:
            return F.rms_norm(x, x.shape[-1:], None, self.epsilon) * self.weight
        scale = (x * x).sum(-1, keepdim=True).add_(self.small).rsqrt_()
        return (x * scale).mul_(self.weight)
