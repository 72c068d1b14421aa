"""Cross-entropy over a large vocabulary without ever holding all logits: some rows at a time, loss and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 1024  # tokens whose logits are held at once; of twice as many each time fresh memory is asked of the system
LARGE = 1 << 22  # logits from which on it is worth while


def chunked_cross_entropy(features: Tensor, weight: Tensor, targets: Tensor, ignore: int = -100) -> Tensor:
    """The cross-entropy of ``features @ weight.T`` with targets, summed; as ``F.cross_entropy`` has it.

    The gradient of a row's logits is softmax − one-hot, so it is made and used up while they are there: memory for
    ``ROWS`` rows of logits, in place of three times all of them. Under autocast the products run in its type, all else
    in float32.

    Shapes: features (rows, width), weight (vocabulary, width), targets (rows,) → a scalar.
    """
    found: Tensor = _Chunked.apply(features, weight, targets, ignore)  # type: ignore[no-untyped-call]
    return found


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, ignore: int) -> Tensor:
        kind = features.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype
        with torch.autocast(kind, enabled=False):
            table = weight.to(dtype)
            of_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
            of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
            total = features.new_zeros((), dtype=torch.promote_types(features.dtype, torch.float32))
            for begin in range(0, len(features), ROWS):
                part = slice(begin, begin + ROWS)
                read, counts = features[part].to(dtype), targets[part] != ignore
                wanted = targets[part].clamp(min=0)[:, None]
                logits = (read @ table.T).to(total.dtype)
                top = logits.amax(1, keepdim=True)
                said = logits.gather(1, wanted)
                shares = logits.sub_(top).exp_()
                sums = shares.sum(1, keepdim=True)
                total += ((sums.log() + top - said).squeeze(1) * counts).sum()
                if of_features is None and of_weight is None:
                    continue
                gradient = shares.mul_(counts[:, None] / sums)
                gradient.scatter_add_(1, wanted, -counts[:, None].to(gradient.dtype))
                gradient = gradient.to(dtype)
                if of_features is not None:
                    of_features[part] = gradient @ table
                if of_weight is not None and dtype == of_weight.dtype:
                    of_weight.addmm_(gradient.T, read)
                elif of_weight is not None:
                    of_weight += gradient.T @ read
        ctx.save_for_backward(of_features, of_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        of_features, of_weight = ctx.saved_tensors
        scale = upstream[0]
        return (
            None if of_features is None else of_features * scale.to(of_features.dtype),
            None if of_weight is None else of_weight * scale.to(of_weight.dtype),
            None,
            None,
        )
