"""Why the loss of a step isn't finite: the inputs, a layer, the targets, or the loss itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradus.training.accident_words import Accident
from gradus.training.clues import Evidence, all_of, bad_rows, owner_of, size_of, value_of
from gradus.training.trace import ENTER, LEAVE, Call, Sight

GROWN = 1e4  # a weight or an input that is larger has itself gone wrong


def of_loss(evidence: Evidence) -> Accident:
    """Why the loss of a step isn't finite: the inputs, a layer, the targets, or the loss itself."""
    return _of_inputs(evidence) or _of_layers(evidence) or _of_targets(evidence) or _of_objective(evidence)


def _of_inputs(evidence: Evidence) -> Accident | None:
    """Inputs that aren't finite, where outputs of the same samples aren't either: a model may know how to read NaN."""
    if ("inputs", "", 0, "") in evidence.usual:
        return None
    harmed = {place for each in evidence.trace.passes for place in each.bad_positions()}
    for tensor in evidence.batch.all_inputs:
        places = bad_rows(tensor)
        if harmed.intersection(places):
            return _of_data(evidence, "inputs", tensor, places)
    return None


def _of_targets(evidence: Evidence) -> Accident | None:
    """Targets that aren't finite, of samples whose loss then isn't either."""
    losses = _losses(evidence)
    places = [place for place in bad_rows(evidence.batch.targets) if not math.isfinite(losses.get(place, math.nan))]
    if not places or ("targets", "", 0, "") in evidence.usual:
        return None
    return _of_data(evidence, "targets", evidence.batch.targets, places)


def _of_data(evidence: Evidence, what: str, tensor: Tensor, places: Sequence[int]) -> Accident:
    sample = int(evidence.batch.indices[places[0]])
    at = torch.nonzero(~torch.isfinite(tensor[places[0]]))
    position = f", at {at[0].tolist()} of sample {sample} first" if tensor.ndim > 1 else ""
    value = value_of(tensor[list(places)])
    return evidence.accident(
        places,
        what=what,
        value=value,
        where=f"the {what}",
        cause=f"the data hold {value}{position}",
        change="mend these samples or leave them out; --on-nan skip goes on without the updates that they spoil",
    )


def _of_layers(evidence: Evidence) -> Accident | None:
    """The first module that gave what isn't finite, or that computed it for one of its parts to read."""
    bad = evidence.bad()
    spoilt = {id(sight.call) for sight in bad if sight.moment == LEAVE}
    for sight in bad:
        call = sight.call
        if call is not None and sight.moment == LEAVE:
            return _of_layer(evidence, sight, call, " computes from the outputs of its parts" if call.calls else "")
        if call is not None and sight.moment == ENTER and id(call) in spoilt:  # of another call it did no harm
            return _of_layer(evidence, sight, call.parent or call, f" gives to its part {call.name}")
    return None


def _of_layer(evidence: Evidence, sight: Sight, maker: Call, does: str) -> Accident:
    places = sorted({p for s in evidence.alike(sight) for p in _places(s)})
    value, name = value_of(sight.sizes), evidence.named(maker)
    cause, change = _why(evidence, maker, value, _given(evidence, sight, maker), places)
    where = f"what {name}{does}" if does else f"the output of {name}"
    return evidence.accident(places, maker, what="output", value=value, where=where, cause=cause, change=change)


def _places(sight: Sight) -> list[int]:
    """Of which samples a value is: of its own rows, else of those whose outputs it spoilt, else of all."""
    return sight.bad_positions() or sight.within.bad_positions() or all_of(sight)


def _why(evidence: Evidence, maker: Call, value: str, given: float, places: Sequence[int]) -> tuple[str, str]:
    """A cause and one thing to change, for a module that made ``value`` of finite numbers of ``given`` at most."""
    before = evidence.before
    own = max((n for n in before if owner_of(n) == maker.name), key=lambda n: before[n], default=None)
    largest_of_all = max(before, key=lambda n: before[n], default=None)
    if own is not None and before[own] > GROWN:
        return f"its {own.rpartition('.')[2]} has grown to {before[own]:.3g} in training", _lower(evidence)
    if given > GROWN:
        inputs = max((size_of(t[list(places)]) for t in evidence.batch.all_inputs), default=0.0)
        if inputs > GROWN:
            return f"the inputs are as large as {inputs:.3g}", "standardise the inputs, or mend these samples"
        if largest_of_all is not None and before[largest_of_all] > GROWN:
            grown = f"{largest_of_all} has grown to {before[largest_of_all]:.3g} in training"
            return f"{grown}, so numbers as large as {given:.3g} come in", _lower(evidence)
        return f"numbers as large as {given:.3g} come in", "normalise what comes in, with LayerNorm say"
    if value == "NaN":
        does = "a logarithm or a root of a number below 0 does, or 0 / 0"
    else:
        does = "exp of more than 88 does, a division by 0, or the logarithm of 0"
    cause = f"it makes {value} of finite numbers of {given:.3g} at most, as {does}"
    return cause, "keep what goes into that operation where it is defined, with clamp say"


def _given(evidence: Evidence, sight: Sight, maker: Call) -> float:
    """The largest value that went into what a sight shows, of the samples that it spoilt."""
    before = evidence.trace.sights[: evidence.trace.sights.index(sight)]
    if sight.moment == LEAVE and not maker.calls:
        before = [other for other in before if other.call is maker and other.moment == ENTER]
    else:
        before = [other for other in before if other.within is sight.within][-1:]
    bad = set(sight.bad_positions())
    values: list[float] = []
    for other in before:
        rows = other.sizes.tolist()
        if other.positions is not None and bad:
            rows = [size for size, place in zip(rows, other.positions.tolist(), strict=True) if place in bad]
        values += rows
    return max(filter(math.isfinite, values), default=0.0)


def _of_objective(evidence: Evidence) -> Accident:
    """Outputs and targets are finite, and their loss isn't."""
    losses = _losses(evidence)
    places = [place for place, loss in losses.items() if not math.isfinite(loss)]
    values = torch.tensor([losses[place] for place in places] or [math.inf])
    outputs = _outputs(evidence, places)
    finite = f"targets and outputs are finite, these of {outputs:.3g} at most"
    if outputs > GROWN:
        cause, change = f"the outputs have grown to {outputs:.3g}", _lower(evidence)
    elif places:
        cause = f"{finite}, but their loss isn't"
        change = "keep the loss from the logarithm of 0, a division by 0 and exp of large outputs"
    else:
        cause, change = f"{finite}, but the sum of their losses isn't", "standardise the targets"
    return evidence.accident(
        places or range(len(evidence.batch.indices)),
        what="loss",
        value=value_of(values),
        where=f"the loss ({evidence.task.name})",
        cause=cause,
        change=change,
    )


def _outputs(evidence: Evidence, places: Sequence[int]) -> float:
    """The largest output of the samples at some places of the batch; of all, where there are none."""
    largest_of_each = [0.0]
    for each in evidence.trace.passes:
        rows = [place - each.first for place in places if 0 <= place - each.first < each.rows]
        if each.output is not None and (rows or not places):
            largest_of_each.append(size_of(each.output[rows] if rows else each.output))
    return max(largest_of_each)


def _losses(evidence: Evidence) -> dict[int, float]:
    """The loss of each sample by its place in the batch; none where the loss needs more than one at a time."""
    losses: dict[int, float] = {}
    targets = evidence.batch.targets
    for each in evidence.trace.passes:
        for row, place in enumerate(range(each.first, each.first + each.rows)):
            if each.output is None or place in losses:
                continue
            try:
                loss = evidence.task.loss_sum(each.output[row : row + 1], targets[place : place + 1])
            except Exception:  # a person's own loss: of the batch as a whole, say
                return {}
            losses[place] = float(loss)
    return losses


def _lower(evidence: Evidence) -> str:
    rate = f", to {evidence.rate / 10:g} say" if evidence.rate <= 1 else "; --lr find has a range test choose one"
    return f"lower the learning rate{rate}, or give --clip 1"
