"""Every classic optimiser of torch by name, and the learning rate as a pure function of the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gradus.errors import UserError
from gradus.training.muon import Muon, groups_of

# SparseAdam takes only sparse gradients and torch's Muon only matrices: neither fits a whole model. Ours does.
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "SparseAdam", "Muon")
} | {"muon": Muon}
SCHEDULES = ("constant", "linear", "cosine", "one-cycle")
FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def default_lr(optimizer: str) -> float:
    """torch's own default learning rate of an optimiser."""
    return float(inspect.signature(OPTIMIZERS[optimizer]).parameters["lr"].default)


def make_optimizer(
    model: nn.Module | Iterable[nn.Parameter],
    name: str,
    device: torch.device,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    half: bool = False,
) -> torch.optim.Optimizer:
    """An optimiser by name, fused where torch has a fused kernel for it; what is None is left to torch's default.

    Args:
        model: or its weights, which tell Muon nothing of what is a table of embeddings.
        half: whether Muon's iterations run in bf16.

    Raises:
        UserError: where a setting is given that the optimiser doesn't take.
    """
    kind = OPTIMIZERS[name]
    takes = inspect.signature(kind).parameters
    options: dict[str, Any] = {"lr": lr if lr is not None else default_lr(name)}
    for key, value in (("momentum", momentum), ("weight_decay", weight_decay)):
        if value is None:
            continue
        if key not in takes:
            raise UserError(f"{name} takes no {key}; leave --{key.replace('_', '-')} out.")
        options[key] = value
    if kind is Muon:
        return Muon(groups_of(model) if isinstance(model, nn.Module) else model, half=half, **options)
    parameters = model.parameters() if isinstance(model, nn.Module) else model
    if "fused" in takes and device.type in FUSED_DEVICES:
        options["fused"] = True
    return kind(parameters, **options)


def lr_factor(schedule: str, step: int, total: int, warmup: float = 0.0) -> float:
    """The learning rate of a step, from 0, as a share of the peak; a pure function, so resume has nothing to restore.

    ``linear`` and ``cosine`` fall to zero from the end of the warm-up on. ``one-cycle`` (Smith 2018) rises from 1/25
    over the first 30 % of the steps, or the warm-up where one is given, and falls to 1/10,000, both along a cosine.
    """
    total = max(total, 1)
    rise = round(warmup * total)
    if schedule == "one-cycle":
        rise = rise or max(1, round(0.3 * total))
        if step < rise:
            return 1 / 25 + (1 - 1 / 25) * _half_cosine(step / rise)
        return 1 - (1 - 1e-4) * _half_cosine((step - rise) / max(total - 1 - rise, 1))
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(total - rise, 1)
    if schedule == "linear":
        return max(0.0, 1 - done)
    if schedule == "cosine":
        return 1 - _half_cosine(done)
    return 1.0


def _half_cosine(x: float) -> float:
    """From 0 at x = 0 to 1 at x = 1, flat at both ends."""
    return 0.5 - 0.5 * math.cos(math.pi * min(max(x, 0.0), 1.0))
