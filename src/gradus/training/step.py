"""One step of training: ``(state, batch) → Outcome``. The loop doesn't know which kind it runs.

How a step is executed is decided where it is made: ``supervised`` runs it eagerly; a compiled or captured one would be
another function of the same signature made here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradus.data import Batch, mix
from gradus.models import apply
from gradus.tasks import Task
from gradus.training.optim import lr_factor
from gradus.training.state import TrainState


@dataclass(slots=True)
class Outcome:
    """What a step came to: the loss summed over the batch's targets, on the device, and how many they were."""

    loss_sum: Tensor
    count: int


Step = Callable[[TrainState, Batch], Outcome]


def seed_step(seed: int, step: int, device: torch.device) -> None:
    """Make the chance in a step, dropout say, a function of (seed, step); costs a microsecond."""
    key = mix(seed, step)
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(key)
    elif device.type == "mps":
        torch.mps.manual_seed(key)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """The arithmetic that the forward pass and the loss run in."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def gradient_norm(model: nn.Module) -> Tensor:
    """The Euclidean norm of a model's whole gradient, a scalar on its device; 0 where nothing has a gradient."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return nn.utils.get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients])


def supervised(
    task: Task,
    *,
    lr: float,
    schedule: str = "constant",
    warmup: float = 0.0,
    clip: float | None = None,
    accumulate: int = 1,
    precision: str = "fp32",
) -> Step:
    """The step of learning from examples: forward, loss, backward, update.

    The gradient is that of the loss summed over the whole batch and divided by the batch's number of targets, in
    however many parts it is computed.
    """
    share: dict[tuple[int, torch.device], Tensor] = {}  # 1 / count on the device, made once a count
    steady = schedule == "constant" and warmup == 0

    def step(state: TrainState, batch: Batch) -> Outcome:
        model, optimizer = state.model, state.optimizer
        device = batch.targets.device
        seed_step(state.seed, state.step, device)
        count = batch.count if batch.count is not None else task.num_targets(batch.targets)
        scale = share.get((count, device))
        if scale is None:
            scale = share[count, device] = torch.tensor(1.0 / count, device=device)

        def gradient() -> Tensor:
            total: Tensor | None = None
            for part in batch.parts(accumulate):
                if precision == "fp32":
                    loss = task.loss_sum(apply(model, part.inputs), part.targets)
                else:
                    with autocast(device, precision):
                        loss = task.loss_sum(apply(model, part.inputs), part.targets)
                torch.autograd.backward(loss, scale)
                total = loss.detach() if total is None else total + loss.detach()
            assert total is not None
            norm = None if clip is None else nn.utils.clip_grad_norm_(model.parameters(), clip)
            if state.norm_wanted:
                state.grad_norm = gradient_norm(model) if norm is None else norm
                state.norm_wanted = False  # of a step that takes several gradients, the first
            return total

        if not steady:
            rate = lr * lr_factor(schedule, state.step, state.total_steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
        if isinstance(optimizer, torch.optim.LBFGS):
            loss = _lbfgs(optimizer, gradient, count)
        else:
            loss = gradient()
            optimizer.step()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        if state.average is not None:
            state.average.update(state.step)
        return Outcome(loss, count)

    return step


def _lbfgs(optimizer: torch.optim.LBFGS, gradient: Callable[[], Tensor], count: int) -> Tensor:
    """L-BFGS asks for the loss and its gradient as often as its line search wants; the first loss is the step's.

    It is told the mean, whose gradient it sees: it stops by how much the loss still falls.
    """
    losses: list[Tensor] = []

    def closure() -> float:
        optimizer.zero_grad()
        losses.append(gradient())
        return float(losses[-1] / count)

    optimizer.step(closure)
    return losses[0]
