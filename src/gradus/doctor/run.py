"""The doctor's eyes on a run of Gradus: its first steps on a copy, its curves, and its last weights on a few batches.

Nothing of it is seen while the run trains, so a run costs no more for it but the first and the last look, and what is
found is the same however often the run was cut off.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import torch

from gradus.doctor.ceiling import of_data
from gradus.doctor.course import HEADWAY, course
from gradus.doctor.judge import Diagnosis, examine
from gradus.doctor.signals import Check, LossSite, Signals
from gradus.doctor.store import from_json, to_json
from gradus.doctor.trials import LARGEST, SECONDS, try_out
from gradus.doctor.tried import Probe
from gradus.doctor.watch import Watch
from gradus.doctor.words import all_told
from gradus.training.loop import Observer, batches_of
from gradus.training.lr_find import generators_untouched
from gradus.training.optim import default_lr, make_optimizer
from gradus.training.prepare import Prepared
from gradus.training.rundir import RunDirectory, finite
from gradus.training.settings import Settings
from gradus.training.state import TrainState
from gradus.training.step import supervised

LEAST = 20  # steps of a run that is looked at: of a shorter one nothing could be said
FIRST = 3  # steps that are looked at on a copy, before the first
TRIED = 100  # steps of a run that things are tried for: a shorter one came to little for want of them
SHARE = 0.1  # of the time that a run trained, that each experiment at its end may take
LEAST_SECONDS = 0.5  # and so long in any case
LAST = 2  # batches that the last weights are looked at with


def look_at_start(prepared: Prepared, settings: Settings) -> Signals:
    """The first steps of a run, on a copy of its model and with its own batches."""
    state, steps = prepared.state, min(FIRST, prepared.state.total_steps)
    watch = Watch()
    if _is_large(prepared) or state.total_steps < LEAST or settings.optimizer == "lbfgs":
        return watch.watching.seen
    try:
        model = copy.deepcopy(state.model).train()
    except Exception:  # not every module can be copied
        return watch.watching.seen
    lr = float(prepared.chosen["lr"].value) if isinstance(settings.lr, str) else settings.lr
    optimizer = make_optimizer(
        model, settings.optimizer, prepared.device, lr=lr, momentum=settings.momentum,
        weight_decay=settings.weight_decay, half="muon" in prepared.chosen and prepared.chosen["muon"].value == "bf16",
    )  # fmt: skip
    trial = TrainState(model, optimizer, total_steps=state.total_steps, seed=state.seed, parts=settings.accumulate)
    step = supervised(
        prepared.task, lr=lr if lr is not None else default_lr(settings.optimizer), schedule=settings.schedule,
        warmup=settings.warmup, clip=settings.clip, accumulate=settings.accumulate, precision=prepared.precision,
    )  # fmt: skip
    workers, prepared.data.workers = prepared.data.workers, 0
    try:
        batches = batches_of(prepared.data, prepared.order, steps)
        with generators_untouched(prepared.device), watch:
            for _ in range(steps):
                outcome = step(trial, batches(trial.step))
                trial.step += 1
                if not math.isfinite(float(outcome.loss_sum)):
                    break
            watch.models.finish()
    finally:
        prepared.data.workers = workers
    return watch.watching.seen


def look_at_end(
    prepared: Prepared, directory: RunDirectory, seen: Signals, summary: dict[str, Any]
) -> tuple[Signals, Diagnosis]:
    """What the first look saw, with the run's curves, and its last weights on a few batches; and the findings.

    Args:
        summary: the result, beside its baselines.
    """
    _add_curves(seen, directory, summary, prepared.task.higher_is_better)
    if not _is_large(prepared) and prepared.state.total_steps >= LEAST:
        _late(prepared, seen)
        seen.ceiling = of_data(prepared.data)
        went = course(seen)
        near_chance = went is not None and went.chance is not None and went.headway < HEADWAY
        if prepared.state.step >= TRIED and (near_chance or not better_than_trivial(seen.run)):
            trained = summary.get("seconds", {}).get("train", 0.0)
            seconds = min(SECONDS, max(LEAST_SECONDS, SHARE * trained))
            seen.probe = try_out(prepared.state.model, prepared.task, prepared.data, prepared.state.seed, seconds)
    return seen, examine(seen)


class OnTheWay(Observer):
    """Tells a quarter, a half and three quarters through what the curves show already, each thing once."""

    def __init__(self, prepared: Prepared, directory: RunDirectory, tell: Callable[[str], None]) -> None:
        total = prepared.state.total_steps
        self.marks = {total * share // 4 for share in (1, 2, 3)}
        self.directory, self.tell, self.higher = directory, tell, prepared.task.higher_is_better
        self.told: set[str] = set()

    def step(self, state: TrainState) -> None:
        if state.step not in self.marks:
            return
        seen = of_stored(self.directory.doctor_seen())
        _add_curves(seen, self.directory, {}, self.higher)
        for finding in all_told(examine(seen)):
            if finding["level"] != "note" and finding["code"] not in self.told:
                self.told.add(finding["code"])
                self.tell(
                    f"step {state.step:,}: {finding['verdict']} [{finding['code']}]; to change: {finding['change']}"
                )


def examine_again(
    directory: RunDirectory, silence: tuple[str, ...] = (), probe: Probe | None = None
) -> tuple[Signals, Diagnosis]:
    """A run that is finished, or not yet, by what it has written, and by what was tried with it now."""
    kept, summary = directory.doctor_seen(), directory.summary()
    if summary is not None and "end" in kept:
        seen = of_stored(kept, "end")
    else:
        seen = of_stored(kept)
        _add_curves(seen, directory, summary or {}, True)
    if probe is not None:
        seen.probe = probe
    return seen, examine(seen, silence)


def better_than_trivial(run: dict[str, Any]) -> bool:
    """Whether a run's training rows are clearly better told than by the best of its baselines on the test rows.

    Clearly: by two standard errors of an accuracy, by a hundredth of other metrics.
    """
    primary, sign = run.get("primary"), 1 if run.get("higher") else -1
    mine = (run.get("metrics") or {}).get("train", {}).get(primary)
    others = [scores[primary] for scores in (run.get("baseline") or {}).values() if primary in scores]
    if mine is None or not others or isinstance(mine, str):
        return True
    best = sign * max(sign * other for other in others)
    rows = max(1, run.get("rows", {}).get("train", 1))
    margin = 2 * math.sqrt(best * (1 - best) / rows) if primary == "accuracy" else 0.01 * abs(best)
    return bool(sign * mine > sign * best + margin)


def _add_curves(seen: Signals, directory: RunDirectory, summary: dict[str, Any], higher: bool) -> None:
    keys = ("task", "primary", "metrics", "baseline", "rows", "steps", "stopped")
    seen.run = {key: summary[key] for key in keys if key in summary} | {"higher": higher}
    seen.program = str(directory.path)
    raw = directory.metrics.read_text().splitlines() if directory.metrics.exists() else []
    lines = [json.loads(line) for line in raw if line.strip()]
    seen.seconds = summary.get("seconds", {}).get("total", 0.0)
    seen.updates = summary.get("steps", max((line["step"] for line in lines), default=0))
    _curves(seen, lines)


def stored(seen: Signals, moment: str = "start") -> dict[str, Any]:
    """Signals as they are written beside a run, of its ``start`` or its ``end``."""
    return {moment: finite(to_json(seen))}


def of_stored(value: dict[str, Any], moment: str = "start") -> Signals:
    """What ``stored`` gave; nothing seen where that is missing."""
    found: Signals = from_json(Signals, value[moment]) if moment in value else Signals()
    return found


def _is_large(prepared: Prepared) -> bool:
    return sum(p.numel() for p in prepared.state.model.parameters()) > LARGEST


def _curves(seen: Signals, lines: list[dict[str, Any]]) -> None:
    """The logged losses in the place of those of the first look, and the checks."""
    logged = [line for line in lines if "loss" in line]
    checked = [line for line in lines if "valid" in line]
    main = next(iter(seen.training), None)
    if main is None:
        main = LossSite("loss", None, True)
        seen.losses.append(main)
    begun = [] if main.first is None else [(0, main.first)]
    main.values = begun + [(line["step"], _number(line["loss"])) for line in logged]
    main.calls, main.reduction = max(main.calls, seen.updates), "mean"  # as these are told
    for site in seen.backwards[:1]:
        site.values, site.calls, site.losses = list(main.values), main.calls, [main.name]
    for optimizer in seen.optimizers[:1]:
        optimizer.steps = seen.updates
        optimizer.rates = [(line["step"], line["lr"]) for line in logged if line.get("lr") is not None]
    for line in checked:
        metrics = line["valid"]
        check = Check(
            "the validation split", line["step"], loss=_number(metrics.get("loss")), name=main.name, targets=1
        )
        if metrics.get("accuracy") is not None:
            check.judged, check.correct = 1_000_000, round(1_000_000 * float(metrics["accuracy"]))
        seen.checks.append(check)


def _number(value: Any) -> float:
    return math.nan if value is None or isinstance(value, str) else float(value)


def _late(prepared: Prepared, seen: Signals) -> None:
    """The last weights on a few batches: their activations and gradients take the place of the first ones."""
    state, watch = prepared.state, Watch()
    try:
        model = copy.deepcopy(state.model).train()
    except Exception:
        return
    watch.watching.go_on(state.step - state.step % 50)  # a step that is looked at closely
    workers, prepared.data.workers = prepared.data.workers, 0
    try:
        batches = batches_of(prepared.data, prepared.order, LAST)
        with generators_untouched(prepared.device), watch:
            torch.manual_seed(state.seed)
            for k in range(min(LAST, state.total_steps)):
                model.zero_grad()
                prepared.task.loss_of(model, batches(k)).backward()
    finally:
        prepared.data.workers = workers
    late = watch.watching.seen
    seen.troubles += late.troubles
    first = {(unit.op, unit.layer): unit for unit in seen.units}
    for unit in late.units:
        before = first.get((unit.op, unit.layer))
        if before is not None:
            unit.never_first, unit.saturated_first = before.never_first, before.saturated_first
    seen.units = late.units or seen.units
    norms = {name: float(weight.detach().float().norm()) for name, weight in model.named_parameters()}
    for parameter in seen.parameters:
        if parameter.name in norms:
            parameter.norms.append((state.step, norms[parameter.name]))
    for site in seen.training[:1]:
        for other in late.training[:1]:
            site.answers, site.recent = other.answers, other.recent
