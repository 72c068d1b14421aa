"""The learning-rate range test (Smith 2017, https://arxiv.org/abs/1506.01186): a short training of a copy of the model
while the rate grows from far too small to far too large, and the rate that the losses on the way advise.
"""

from __future__ import annotations

import contextlib
import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradus.errors import UserError
from gradus.tasks import Task
from gradus.training.loop import Batches
from gradus.training.optim import make_optimizer
from gradus.training.settings import Settings
from gradus.training.state import TrainState
from gradus.training.step import supervised

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100  # twelve steps for each power of ten
MEMORY = 0.9  # the share of the past in the smoothed loss, which so looks back over some ten steps
DIVERGED = 4.0  # times its least value: where the smoothed loss is past it, larger rates have nothing more to tell
BELOW = 10.0  # the advice is the rate of the least loss divided by this


@dataclass(frozen=True)
class LrRange:
    """What a range test saw, (steps,) each, and its advice.

    ``losses`` are per target and of the weights before the step that used the rate; ``smoothed`` is their
    exponential average.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    rate: float
    reason: str


def find_lr(
    model: nn.Module, task: Task, batches: Batches, settings: Settings, device: torch.device, precision: str
) -> LrRange:
    """Train a copy of the model on the first batches at rates that grow step by step; the model is left as it is.

    The advice is a tenth of the rate at which the smoothed loss is least: there it is about to rise again (Gugger
    2018, https://sgugger.github.io/how-do-you-find-a-good-learning-rate.html). It has three figures, so that it can be
    typed to the bit.

    Raises:
        UserError: where the loss never falls, or the optimiser or the model can't be tested so.
    """
    if settings.optimizer == "rprop":
        raise UserError(
            "lr: rprop reads its rate at the first step only, so a range test can't vary it. Give a number."
        )
    with generators_untouched(device):
        rates, losses, smoothed = _sweep(model, task, batches, settings, device, precision)
    if not _falls(losses, smoothed):
        least = f"{min(smoothed):.4g} at its least" if smoothed else "not finite from the start"
        raise UserError(
            f"lr: in the range test from {LOWEST:g} to {HIGHEST:g} the loss never fell "
            f"({f'{losses[0]:.4g} at its start, ' if losses else ''}{least}). Give --lr a number, and look at the data."
        )
    best = rates[int(np.argmin(smoothed))]
    reason = f"range test: a tenth of {best:.3g}, where the smoothed loss was least"
    return LrRange(rates, losses, smoothed, float(f"{best / BELOW:.3g}"), reason)


def _sweep(
    model: nn.Module, task: Task, batches: Batches, settings: Settings, device: torch.device, precision: str
) -> tuple[list[float], list[float], list[float]]:
    """Rates, losses and smoothed losses, up to where the loss has diverged."""
    try:
        twin = copy.deepcopy(model).train()
    except (RuntimeError, TypeError) as error:
        raise UserError(f"lr: the model can't be copied for a range test: {error}. Give --lr a number.") from None
    optimizer = make_optimizer(
        twin,
        settings.optimizer,
        device,
        lr=LOWEST,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    step = supervised(
        task, lr=LOWEST, clip=settings.clip, accumulate=settings.accumulate, precision=precision
    )  # of a constant rate: it leaves the one of the group alone
    state = TrainState(twin, optimizer, total_steps=STEPS, seed=settings.seed)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for rate in np.geomspace(LOWEST, HIGHEST, STEPS).tolist():
        for group in optimizer.param_groups:
            group["lr"] = rate
        outcome = step(state, batches(state.step))
        state.step += 1
        loss = float(outcome.loss_sum) / outcome.count
        average = MEMORY * average + (1 - MEMORY) * loss
        smooth = average / (1 - MEMORY**state.step)  # as Adam does for its short past
        if not math.isfinite(loss) or (smoothed and smooth > DIVERGED * min(smoothed)):
            break
        rates.append(rate)
        losses.append(loss)
        smoothed.append(smooth)
    return rates, losses, smoothed


def _falls(losses: list[float], smoothed: list[float]) -> bool:
    """Whether the loss falls by more than a hundredth, and than three standard errors of its first ten values."""
    if len(losses) < 2:
        return False
    first = np.array(losses[:10])
    error = float(first.std(ddof=1)) / math.sqrt(len(first))
    start = float(first.mean())
    return start - min(smoothed) > max(0.01 * abs(start), 3 * error)


@contextlib.contextmanager
def generators_untouched(device: torch.device) -> Iterator[None]:
    """Put the random generators of Python, NumPy and torch back at its end."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
