"""Numerical accidents: a loss or weights that aren't finite are noticed, and the steps taken once more to find where.

To notice costs nothing: it looks at the loss when that is logged, and at the weights when they are saved. To find is to
resume from the checkpoint before, exactly, and to look closely.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradus.data import Dataset, Draw, Order
from gradus.tasks import Task
from gradus.training.accident_words import Accident
from gradus.training.causes import of_loss
from gradus.training.causes_backward import of_checkpoint, of_weights
from gradus.training.checkpoint import Copies
from gradus.training.clues import Evidence, Key, usual_in
from gradus.training.loop import Batches, Observer
from gradus.training.observers import MetricsLog
from gradus.training.state import TrainState
from gradus.training.step import Step
from gradus.training.trace import Trace

CHUNK = 50  # steps that are gone through at full speed before it is asked whether all is finite


class NotFinite(Exception):  # noqa: N818
    """Training has come to numbers that aren't finite; ``step`` is the last one taken."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step:,}: {what}")
        self.step = step


class Watch(Observer):
    """Looks at each logged loss, which has come to the host anyway, and ends the loop where it isn't finite."""

    def __init__(self, log: MetricsLog) -> None:
        self.log = log

    def step(self, state: TrainState) -> None:
        last = self.log.last
        if last and last["step"] == state.step and not math.isfinite(last["loss"]):
            raise NotFinite(state.step, f"the loss is {last['loss']}")


def check_weights(state: TrainState) -> None:
    """Refuse to save weights that aren't finite.

    Raises:
        NotFinite: where one isn't.
    """
    if not finite_weights(state):
        raise NotFinite(state.step, "the weights aren't finite")


def finite_weights(state: TrainState) -> bool:
    """Whether all weights, and their averages, are finite; the device is asked once."""
    weights: list[Tensor] = list(state.model.parameters())
    if state.average is not None:
        weights += state.average.weights
    return all(map(math.isfinite, _sizes(weights)))


def find(
    state: TrainState, batches: Batches, step: Step, task: Task, dataset: Dataset, order: Order, until: int
) -> Accident | None:
    """Go on from a state, of the checkpoint before an accident, to the step in which it happened, and say why it did.

    The steps are those that the loop takes, to the bit. They are taken at full speed, some at a time; those among which
    something was not finite are taken once more, with a look at all that flows through the model. The state is left
    after the step of the accident, no hooks on its model.

    Args:
        until: the step after which something was known not to be finite.

    Returns:
        None where all is finite up to ``until`` this time: what happened doesn't happen each time.
    """
    state.model.train()
    copies = Copies()
    while state.step < until:
        before = copies.of(state)
        last = min(state.step + CHUNK, until)
        if _goes_well(state, batches, step, last):
            continue
        state.load_from(before.files, before.value)
        copies = Copies()  # the state may have taken the tensors of these as its own
        found = _look(state, batches, step, task, dataset, order, last)
        if found is not None:
            return found
    return None


def _goes_well(state: TrainState, batches: Batches, step: Step, last: int) -> bool:
    """Take steps up to one, and tell whether losses and weights are finite."""
    losses = []
    while state.step < last:
        losses.append(step(state, batches(state.step)).loss_sum)
        state.step += 1
    return bool(torch.isfinite(torch.stack(losses)).all()) and finite_weights(state)


def _look(
    state: TrainState, batches: Batches, step: Step, task: Task, dataset: Dataset, order: Order, last: int
) -> Accident | None:
    """Take steps up to one with a look at each, and tell of the first that isn't all finite."""
    usual: set[Key] = set()
    before = _named_sizes(state)
    with Trace(state) as trace:
        while state.step < last:
            batch, skipped = batches(state.step), state.skipped
            draw = Draw(order.seed, order.epoch(state.step))
            if not _finite(before):
                rate = float(state.optimizer.param_groups[0]["lr"])
                evidence = Evidence(state.step, batch, draw, trace, task, dataset, rate, before, before, usual)
                return of_checkpoint(evidence)
            trace.begin(batch)
            loss = step(state, batch).loss_sum
            state.step += 1
            after, rate = _named_sizes(state), float(state.optimizer.param_groups[0]["lr"])
            evidence = Evidence(state.step, batch, draw, trace, task, dataset, rate, before, after, usual)
            if not bool(torch.isfinite(loss)):
                return of_loss(evidence)
            if not _finite(after):
                return of_weights(evidence)
            if state.skipped == skipped:
                usual |= usual_in(evidence)
            before = after
    return None


def _finite(sizes: dict[str, float]) -> bool:
    return all(map(math.isfinite, sizes.values()))


def _named_sizes(state: TrainState) -> dict[str, float]:
    """The largest absolute value of each parameter by its name."""
    named = {name: p for name, p in state.model.named_parameters() if p.numel()}
    return dict(zip(named, _sizes(list(named.values())), strict=True))


def _sizes(weights: list[Tensor]) -> list[float]:
    """The largest absolute value of each tensor, NaN where it holds one; the device is asked once."""
    full = [w.detach() for w in weights if w.numel()]
    if not full:
        return []
    norms = torch._foreach_norm(full, ord=math.inf)
    wide = torch.float32 if norms[0].device.type == "mps" else torch.float64
    return [float(size) for size in torch.stack([norm.to(wide) for norm in norms]).tolist()]
