"""How a loss curves around a model's weights: the least and the greatest eigenvalue of its Hessian.

By Lanczos' method (Golub and Van Loan, Matrix Computations, 10.1), whose products with the Hessian are differences of
gradients: (g(w + εv) − g(w − εv)) / 2ε, so that it works for any module, also where torch has no second derivative.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

STEPS = 24
REACH = 1e-3  # of the weights' size, by which the gradients' places differ
MOST = 1_000_000  # weights: for more the vectors that are kept would take too much memory


def extremes(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], seconds: float = float("inf")
) -> tuple[float, float, float] | None:
    """How steep a model's loss is where it stands, and its least and greatest curvature.

    Steep is the gradient's norm times the weights', over the loss: by how many times itself the loss would change to
    first order on a way as long as the weights. The curvatures are 24 steps of Lanczos: the least eigenvalue is at most
    what is given, the greatest at least. The model is read in evaluation mode, so without dropout, and left as it is.

    Args:
        loss: of a copy, in the model's own precision.
        seconds: None is given where it takes longer, and for models of over a million weights.
    """
    twin = copy.deepcopy(model).eval()
    weights = [p for p in twin.parameters() if p.requires_grad]
    if not weights or sum(p.numel() for p in weights) > MOST:
        return None
    begun, here = time.perf_counter(), torch.cat([p.detach().flatten() for p in weights])
    reach = REACH * max(float(here.norm()), 1e-3)

    def gradient(at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, weights)
        gradients = torch.autograd.grad(loss(twin), weights, allow_unused=True, materialize_grads=True)
        return torch.cat([g.flatten() for g in gradients])

    with torch.backends.cudnn.flags(enabled=False):  # whose RNNs have no backward in evaluation mode
        slope = float(gradient(here).norm() * here.norm())
        height = abs(float(loss(twin).detach()))
        chance = torch.Generator().manual_seed(0)
        basis = [_unit(torch.randn(len(here), generator=chance).to(here))]
        diagonal: list[float] = []
        beside: list[float] = []
        for _ in range(min(STEPS, len(here))):
            last = basis[-1]
            image = (gradient(here + reach * last) - gradient(here - reach * last)) / (2 * reach)
            diagonal.append(float(image @ last))
            for vector in (*basis, *basis):  # twice, against rounding
                image = image - (image @ vector) * vector
            size = float(image.norm())
            if time.perf_counter() - begun > seconds:
                return None
            if size <= 1e-6 * max(map(abs, diagonal)):  # all that the first vector leads to has been seen
                break
            beside.append(size)
            basis.append(image / size)
    side = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    found = torch.linalg.eigvalsh(
        torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(side, 1) + torch.diag(side, -1)
    )
    if not bool(torch.isfinite(found).all()):
        return None
    return slope / max(height, 1e-12), float(found[0]), float(found[-1])


def _unit(vector: Tensor) -> Tensor:
    unit: Tensor = vector / vector.norm()
    return unit
