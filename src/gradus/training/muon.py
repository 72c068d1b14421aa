"""Muon: momentum whose matrices are made orthogonal before they are used (Jordan et al. 2024)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as its author tuned them


class Muon(torch.optim.Optimizer):
    """Muon for whatever is a matrix or a stack of filters, AdamW for the rest, at one learning rate.

    A table of embeddings is no matrix that maps anything: a group of its own with ``tables=True`` goes by AdamW
    (``groups_of`` makes it).

    An update is scaled by 0.2 · √(larger side), which gives it the size of AdamW's (Liu et al. 2025), so the rate and
    the weight decay mean for both what they mean for AdamW. Convolution filters count as matrices (filters, rest).

    Args:
        params: all weights of a model, or groups of them.
        lr: learning rate, in AdamW's units.
        momentum: of the matrices, as Nesterov's.
        weight_decay: decoupled from the gradient.
        half: have the iterations run in bf16 on a CPU too, where its products are the faster ones.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        half: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "tables": False, "half": half}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "Muon asks for no second look at the loss"
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights and group["weight_decay"]:
                torch._foreach_mul_(weights, 1.0 - group["lr"] * group["weight_decay"])
            by_shape: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            others = []
            for weight in weights:
                if weight.ndim >= 2 and not group["tables"]:
                    by_shape[len(weight), weight[0].numel()].append(weight)
                else:
                    others.append(weight)
            for matrices in by_shape.values():
                self._muon(matrices, group)
            if others:
                self._adam(others, group["lr"])

    def _muon(self, weights: list[nn.Parameter], group: dict[str, Any]) -> None:
        """One update of matrices of one shape, made orthogonal all at once."""
        updates = []
        for weight in weights:
            assert weight.grad is not None
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(weight.grad, 1.0 - group["momentum"])
            updates.append(torch.lerp(weight.grad, state["momentum"], group["momentum"]).reshape(len(weight), -1))
        scale = 0.2 * max(updates[0].shape) ** 0.5
        for weight, update in zip(weights, orthogonal(torch.stack(updates), half=group["half"]), strict=True):
            weight.sub_(update.view(weight.shape).to(weight.dtype), alpha=group["lr"] * scale)

    def _adam(self, weights: list[nn.Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
            self.state[weight]["step"] += 1
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        means, squares = ([self.state[weight][key] for weight in weights] for key in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1.0 - betas[0])
        torch._foreach_mul_(squares, betas[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - betas[1])
        steps = [self.state[weight]["step"] for weight in weights]
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [(1.0 - betas[1] ** step) ** 0.5 for step in steps])
        torch._foreach_add_(roots, 1e-8)
        torch._foreach_addcdiv_(list[Tensor](weights), means, roots, [-lr / (1.0 - betas[0] ** step) for step in steps])


def groups_of(model: nn.Module) -> list[dict[str, Any]]:
    """A model's weights for ``Muon``: tables of embeddings, whoever else uses them too, and all else."""
    tables = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding | nn.EmbeddingBag)}
    here = [p for p in model.parameters() if id(p) in tables]
    others = [p for p in model.parameters() if id(p) not in tables]
    return [{"params": others}, *([{"params": here, "tables": True}] if here else [])]


def orthogonal(matrices: Tensor, rounds: int = 5, half: bool = False) -> Tensor:
    """The nearest matrices whose singular values all lie about 1 (0.7 to 1.2), (count, rows, columns) → the same.

    Newton–Schulz iterations of the fifth degree; in bf16 on a GPU or where ``half``, which loses nothing.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if half or matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    out: Tensor = x.mT if tall else x
    return out
