"""One step of training: ``(state, batch) → Outcome``. The loop doesn't know which kind it runs.

How a step is executed is decided where it is made: ``supervised`` runs it eagerly, or within what ``engine`` made of
its model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradus.data import Batch, mix
from gradus.errors import UserError, nearest
from gradus.tasks import Task
from gradus.training.memory import Buffers, out_of_memory, take_smaller_parts, told
from gradus.training.optim import lr_factor
from gradus.training.state import TrainState


@dataclass(slots=True)
class Outcome:
    """What a step came to: the loss summed over the batch's targets, on the device, and how many they were.

    Where the update was skipped both are 0. Where several processes train, both are those of the global batch.
    """

    loss_sum: Tensor
    count: int


Forward = Callable[[nn.Module, Batch], Tensor]  # a batch's summed loss
Within = Callable[[Batch], contextlib.AbstractContextManager[None]]  # what a batch's forward pass is computed in
ON_NAN = ("stop", "skip", "ignore")  # what to do about a loss or a gradient that isn't finite
Step = Callable[[TrainState, Batch], Outcome]


def seed_step(seed: int, step: int, device: torch.device, rank: int = 0) -> None:
    """Make the chance in a step, dropout say, a function of (seed, step, rank); costs a microsecond.

    Of several processes each has a stream of its own; the first one's is that of a process alone.
    """
    key = mix(seed, step) if rank == 0 else mix(seed, step, rank)
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
    on_nan: str = "stop",
    within: Within | None = None,
) -> Step:
    """The step of learning from examples: forward, loss, backward, update.

    The gradient is that of the loss summed over the whole batch and divided by the batch's number of targets, in
    however many parts it is computed: ``accumulate``, or ``state.parts`` where these are more, as they become when a
    batch doesn't fit in the memory. Of several processes each is given its share of the batch, and ``state.world``
    adds up what they come to.

    With ``on_nan="skip"`` a step whose loss or whose gradient's norm isn't finite leaves weights, buffers, optimiser
    and average as they were, and is counted in ``state.skipped``. Its price: each step waits for the device, and the
    model's buffers are copied. With any other word nothing is looked at here; whoever reads the loss sees it.

    ``within`` gives the context of a batch's forward pass, in which an engine has the model computed its own way.

    Raises:
        UserError: by the step, where not even one sample fits in the memory, or skipping is asked for with L-BFGS.
    """
    if on_nan not in ON_NAN:
        raise UserError(f"on_nan: no '{on_nan}'.{nearest(on_nan, ON_NAN)}")
    share: dict[tuple[int, torch.device], Tensor] = {}  # 1 / count on the device, made once a count
    buffers_of: dict[nn.Module, Buffers] = {}
    steady = schedule == "constant" and warmup == 0
    skips = on_nan == "skip"
    forward = task.loss_of if precision == "fp32" and within is None else _forward(task, precision, within)

    def step(state: TrainState, batch: Batch) -> Outcome:
        model, optimizer, world = state.model, state.optimizer, state.world
        device = batch.targets.device
        seed_step(state.seed, state.step, device, 0 if world is None else world.rank)
        count = batch.count if batch.count is not None else task.num_targets(batch.targets)
        scale = None
        if world is None:  # of several processes only the sum of all gradients is divided
            scale = share.get((count, device))
            if scale is None:
                scale = share[count, device] = torch.tensor(1.0 / count, device=device)
        if state.parts < accumulate:
            state.parts = accumulate
        buffers = buffers_of.get(model)
        if buffers is None:
            buffers = buffers_of[model] = Buffers(model)
        if buffers.places:
            buffers.keep(batch, state.parts, always=skips)
        norm: Tensor | None = None

        def gradient() -> Outcome:
            nonlocal norm
            if world is None:
                outcome = Outcome(_backward_that_fits(forward, state, batch, scale, buffers), count)
            else:
                empty = len(batch.indices) == 0
                loss = None if empty else _backward_that_fits(forward, state, batch, None, buffers)
                outcome = Outcome(*world.combine(state, list(model.parameters()), loss, count))
            if clip is not None:
                norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            elif skips or state.norm_wanted:
                norm = gradient_norm(model)
            if state.norm_wanted:
                state.grad_norm = norm
                state.norm_wanted = False  # of a step that takes several gradients, the first
            return outcome

        if not steady:
            rate = lr * lr_factor(schedule, state.step, state.total_steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
        skipped = False
        if isinstance(optimizer, torch.optim.LBFGS):
            if skips:
                raise UserError(
                    "on_nan: lbfgs takes several gradients a step and can't skip one; take another optimiser."
                )
            outcome = _lbfgs(optimizer, gradient)
        else:
            outcome = gradient()
            skipped = skips and not _is_finite(outcome.loss_sum, norm)
            if not skipped:
                optimizer.step()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        if skipped:
            buffers.put_back()
            return _skipped(state, outcome)
        if state.average is not None:
            state.average.update(state.step)
        return outcome

    return step


def _forward(task: Task, precision: str, within: Within | None) -> Forward:
    def forward(model: nn.Module, batch: Batch) -> Tensor:
        with autocast(batch.targets.device, precision), within(batch) if within else contextlib.nullcontext():
            return task.loss_of(model, batch)

    return forward


def _backward_that_fits(
    forward: Forward, state: TrainState, batch: Batch, scale: Tensor | None, buffers: Buffers
) -> Tensor:
    """Forward and backward of a batch, in more parts where it doesn't fit in the memory; gives the summed loss."""
    parts = state.parts
    while True:
        try:
            loss = _backward(forward, state.model, batch, state.parts, scale)
            break
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        # only here is the error gone, and with it the frames whose tensors fill the memory
        take_smaller_parts(state, batch)
        buffers.put_back()
        seed_step(state.seed, state.step, batch.targets.device, 0 if state.world is None else state.world.rank)
    if state.parts != parts:
        state.notices.append(told(state, batch))
    return loss


def _backward(forward: Forward, model: nn.Module, batch: Batch, parts: int, scale: Tensor | None) -> Tensor:
    """Forward and backward of a batch, part by part; the loss is a sum, its gradient is multiplied by ``scale``."""
    total: Tensor | None = None
    for part in batch.parts(parts):
        loss = forward(model, part)
        torch.autograd.backward(loss, scale)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    return total


def _lbfgs(optimizer: torch.optim.LBFGS, gradient: Callable[[], Outcome]) -> Outcome:
    """L-BFGS asks for the loss and its gradient as often as its line search wants; the first loss is the step's.

    It is told the mean, whose gradient it sees: it stops by how much the loss still falls.
    """
    outcomes: list[Outcome] = []

    def closure() -> float:
        optimizer.zero_grad()
        outcomes.append(gradient())
        return float(outcomes[-1].loss_sum / outcomes[-1].count)

    optimizer.step(closure)
    return outcomes[0]


def _is_finite(loss: Tensor, norm: Tensor | None) -> bool:
    """Whether both are; the device is waited for."""
    assert norm is not None
    return bool(torch.isfinite(loss) & torch.isfinite(norm))


def _skipped(state: TrainState, outcome: Outcome) -> Outcome:
    """Count an update that was left out, and tell of the 1st, 2nd, 4th, 8th, …; its loss counts for nothing."""
    state.skipped += 1
    if state.skipped & (state.skipped - 1) == 0:
        what = "the gradient" if torch.isfinite(outcome.loss_sum) else "the loss"
        often = "" if state.skipped == 1 else f", {state.skipped:,} by now"
        state.notices.append(f"step {state.step + 1:,}: {what} isn't finite; the update is skipped{often}")
    return Outcome(torch.zeros_like(outcome.loss_sum), 0)
