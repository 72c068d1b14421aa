"""Why weights aren't finite after a step whose loss was: a gradient on its way back, or the optimiser's update."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch

from gradus.training.accident_words import Accident
from gradus.training.clues import Evidence, all_of, owner_of, size_of, value_of
from gradus.training.trace import OPERATION, OUTPUTS, PARAMETER, Call, Sight

EXPLODED = 1e15  # a gradient that is larger has itself gone wrong
SLOPES = {
    "sqrt": "the slope of a root is infinite at 0",
    "pow": "the slope of a power below 1 is infinite at 0",
    "std": "the slope of a standard deviation isn't defined where all values are equal",
    "norm": "the slope of a norm isn't defined at 0",
    "log": "the slope of a logarithm is infinite at 0",
    "div": "the slope of a quotient is infinite where it is divided by 0",
}


def of_weights(evidence: Evidence) -> Accident:
    """Why the weights aren't finite after a step whose loss was: the gradient, or the update."""
    return _of_gradients(evidence) or _of_update(evidence)


def of_checkpoint(evidence: Evidence) -> Accident:
    """Weights that weren't finite before the first step."""
    owner, others, value = _spoilt(evidence.before)
    return evidence.accident(
        (),
        owner,
        what="weights",
        value=value,
        where=f"the weights of {evidence.named(owner)}{others}",
        cause="they were so before the first of these steps",
        change="begin anew, or go on from an older checkpoint",
    )


def _of_gradients(evidence: Evidence) -> Accident | None:
    """The first operation, on the way back, whose gradient isn't finite, and the module that it is a part of."""
    bad = [sight for sight in evidence.bad() if sight.moment in (OUTPUTS, OPERATION, PARAMETER)]
    if not bad:
        return None
    sight = bad[0]
    owner: Call | str | None = owner_of(sight.what) if sight.moment == PARAMETER else sight.call
    places = sorted({place for alike in evidence.alike(sight) for place in _places(alike, bad)})
    if owner is None:
        where, operation = f"the gradient of the loss ({evidence.task.name})", "the loss"
    else:
        where = f"the gradient in {evidence.named(owner)}"
        operation = _spoken(sight.what) if sight.moment == OPERATION else sight.what.rpartition(".")[2]
    cause = f"forwards all is finite, but not the gradient that goes back from {operation}"
    change = "keep what goes in there from the edge: clamp it, or add a small number"
    before = [s for s in evidence.trace.sights[: evidence.trace.sights.index(sight)] if s.within is sight.within]
    came = max((float(s.sizes.max()) for s in before if s.moment in (OUTPUTS, OPERATION)), default=0.0)
    if came > EXPLODED:
        cause = f"{cause}: the gradients have grown to {came:.3g} by then"
        change = "normalise the layers, or begin with smaller weights"
    elif slope := next((words for name, words in SLOPES.items() if name in operation.split()), None):
        cause = f"{cause}: {slope}"
    told = {"where": where, "cause": cause, "change": change}
    return evidence.accident(places, owner, what="gradient", value=value_of(sight.sizes), **told)


def _places(sight: Sight, bad: Sequence[Sight]) -> list[int]:
    """Of which samples a gradient is: of its own rows, else of those that it spoils further back, else of all."""
    return next((p for s in (sight, *bad) if s.within is sight.within and (p := s.bad_positions())), all_of(sight))


def _of_update(evidence: Evidence) -> Accident:
    """Weights that the optimiser's update made what they are."""
    owner, others, value = _spoilt(evidence.after)
    sizes = [size_of(s.sizes) for s in evidence.trace.sights if s.moment == PARAMETER and owner_of(s.what) == owner]
    gradient = f" (of {max(sizes):.3g} at most)" if sizes else ""
    return evidence.accident(
        (),
        owner,
        what="weights",
        value=value,
        where=f"the weights of {evidence.named(owner)}{others} after the update of step {evidence.step:,}",
        cause=f"loss and gradient{gradient} are finite; the update, at a learning rate of {evidence.rate:g}, is not",
        change=f"lower the learning rate, to {evidence.rate / 10:g} say",
    )


def _spoilt(weights: Mapping[str, float]) -> tuple[str, str, str]:
    """The module of the first parameter that isn't finite, words for how many more there are, and NaN or inf."""
    bad = {name: size for name, size in weights.items() if not math.isfinite(size)}
    owners = list(dict.fromkeys(map(owner_of, bad)))
    more = len(owners) - 1
    words = f" and {more:,} other layer{'s' if more > 1 else ''}" if more else ""
    return owners[0], words, value_of(torch.tensor(next(iter(bad.values()))))


def _spoken(operation: str) -> str:
    """The name of autograd's node as words: SqrtBackward0 is sqrt."""
    name = re.sub(r"Backward\d*$", "", operation.rpartition("::")[2])
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)).lower()
