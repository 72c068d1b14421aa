"""LoRA (Hu et al. 2021): a model is tuned by small maps beside its large ones, W·x + (alpha / rank) · B·A·x.

Only A and B learn, so that the optimiser keeps little. When all is learnt the product is added to the weights: what is
left is the model that it was, with no trace of LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.errors import UserError


class LowRank(nn.Module):
    """An affine map that stays as it is, with a map of low rank beside it that learns. It begins as no change at all.

    Args:
        base: the map, whose weights are frozen.
        rank: of the map beside it.
        alpha: the map beside it counts alpha / rank.
        dropout: share of its inputs that is dropped in training.

    Shapes: (…, in) → (…, out); ``down`` is A, (rank, in), ``up`` is B, (out, rank).
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.down = nn.Parameter(torch.empty(rank, base.in_features, device=base.weight.device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))
        self.drop = nn.Dropout(dropout)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as the base map's own weights are drawn

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * F.linear(F.linear(self.drop(x), self.down), self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The one map that both together are: W + (alpha / rank) · B·A, in the base's own memory."""
        self.base.weight += self.scale * (self.up @ self.down)
        return self.base.requires_grad_(True)


def add_lora(
    model: nn.Module,
    *,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    within: str = "blocks",
    also: Sequence[Tensor] = (),
) -> int:
    """Freeze a model, and put low-rank maps beside all affine maps of a part of it. Changes the model in place.

    Args:
        alpha: what the maps beside count, over the rank; None: twice the rank.
        within: the name of the part, such as the blocks of a GPT.
        also: weights that go on learning as a whole: the vectors of new tokens, say.

    Returns:
        How many maps there are beside.

    Raises:
        UserError: for a rank below 1.
    """
    if rank < 1:
        raise UserError(f"lora: a rank of {rank}, but it must be a whole number from 1.")
    model.requires_grad_(False)
    for weight in also:
        weight.requires_grad_(True)
    names = [n for n, m in model.named_modules() if n.startswith(f"{within}.") and isinstance(m, nn.Linear)]
    for name in names:
        parent, _, last = name.rpartition(".")
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        setattr(model.get_submodule(parent), last, LowRank(linear, rank, alpha or 2 * rank, dropout))
    return len(names)


def merge_lora(model: nn.Module) -> nn.Module:
    """Add every low-rank map to its base, so that the model is a plain one again, all of which may learn.

    A model without any is left as it is. Changes the model in place, and gives it back.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, LowRank)]
    for name, module in found:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.merged())
    return model.requires_grad_(True) if found else model
