"""What a run writes of itself: ``config.json`` when it begins, ``summary.json`` when it has finished."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gradus import models, tasks
from gradus.errors import UserError
from gradus.training import machine
from gradus.training.evaluate import outputs_of, some_to_measure
from gradus.training.evidence import Measured, write_evidence
from gradus.training.prepare import Prepared
from gradus.training.rundir import RunDirectory
from gradus.training.settings import Settings

FREE = ("out", "resume", "quiet", "watch", "name", "save_every", "keep", "workers", "on_nan")
"""Settings in which a run may be gone on with differently: none of them has a say in what the next step computes."""


@dataclass(frozen=True)
class Recipe:
    """Which recipe is running, with what arguments, and which of them the person typed."""

    name: str
    arguments: Mapping[str, Any]
    typed: frozenset[str]
    defaults: Mapping[str, Any]


def config_of(
    prepared: Prepared, settings: Settings, given: Mapping[str, Any], name: str, recipe: Recipe | None
) -> dict[str, Any]:
    """Every setting with where it came from, and every choice with its reason."""

    def origin(key: str) -> str:
        if recipe is not None and key in recipe.typed:
            return "command line"
        if key in given:
            return "recipe" if recipe is not None else "argument"
        return "default"

    own = {**recipe.defaults, **recipe.arguments} if recipe else {}
    settings_of_the_loop = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "watch"}
    return {
        "name": name,
        "recipe": recipe.name if recipe else None,
        "arguments": dict(recipe.arguments) if recipe else {},
        "typed": sorted(recipe.typed - {"watch"}) if recipe else [],
        "settings": {key: {"value": value, "from": origin(key)} for key, value in settings_of_the_loop.items()},
        "recipe_settings": {
            key: {"value": value, "from": "command line" if recipe and key in recipe.typed else "recipe"}
            for key, value in own.items()
            if key not in settings_of_the_loop
        },
        "chosen": {key: {"value": c.value, "reason": c.reason} for key, c in prepared.chosen.items()},
        "data": {
            "description": prepared.data.describe(),
            "fingerprint": prepared.data.fingerprint,
            "notes": list(prepared.data.notes),
        },
        "model": models.describe(prepared.state.model),
        "task": prepared.task.to_json(),
        "versions": machine.versions(),
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "program": Path(sys.argv[0]).name,
    }


def refuse_other_settings(path: Path, config: Mapping[str, Any], asked: Settings, recipe: Recipe | None) -> None:
    """A run is gone on with only as it was begun.

    Raises:
        UserError: naming each setting that differs.
    """
    there = {key: entry["value"] for part in ("settings", "recipe_settings") for key, entry in config[part].items()}
    now = {"recipe": recipe.name if recipe else None}
    now |= {**recipe.defaults, **recipe.arguments} if recipe else {}
    now |= {f.name: getattr(asked, f.name) for f in fields(asked)}
    now = json.loads(json.dumps(now))
    there["recipe"] = config["recipe"]
    differs = [
        f"{key} is {there[key]} there and {now[key]} here"
        for key in now
        if key in there and key not in FREE and now[key] != there[key]
    ]
    if differs:
        raise UserError(
            f"{path}: holds a run with other settings: {'; '.join(differs)}. Give the same ones, or name another --out."
        )


def summary_of(prepared: Prepared, directory: RunDirectory, words: str) -> dict[str, Any]:
    """What a run came to, measured with the weights that it is judged by; the evidence is written on the way.

    Args:
        words: which weights these are.
    """
    state, data, task = prepared.state, prepared.data, prepared.task
    rows = {**data.splits, "train": some_to_measure(data)}
    metrics: dict[str, dict[str, float]] = {}
    measured: dict[str, Measured] = {}
    for split, ids in rows.items():
        if len(ids):
            where: dict[str, Any] = {"device": prepared.device, "precision": prepared.precision}
            outputs, targets = outputs_of(state.model, data, ids, task, **where)
            metrics[split] = task.scores(outputs, targets)
            measured[split] = Measured(split, ids, outputs, targets)
    judged = next(measured[s] for s in ("test", "valid", "train") if s in measured)
    metrics[judged.split] |= task.written(state.model, data, judged.rows)
    write_evidence(directory.evidence, prepared, judged)
    config = directory.config()
    seconds = {key: round(value, 4) for key, value in state.seconds.items()}
    return {
        "recipe": config["recipe"],
        "task": task.name,
        "run": str(directory.path),
        "device": str(prepared.device),
        "precision": prepared.precision,
        "engine": prepared.engine,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "steps": state.step,
        "samples": state.samples,
        "rows": {split: len(ids) for split, ids in data.splits.items()},
        "epochs": round(state.step / prepared.order.batches_per_epoch, 3),
        "stopped": state.stop or "the budget is spent",
        "weights": words,
        "skipped": state.skipped,
        "seconds": seconds,
        "samples_per_second": round(state.samples / max(seconds["total"], 1e-9), 1),
        "metrics": metrics,
        "primary": task.primary,
        "baseline": tasks.baselines(task, data) if len(data.splits["test"]) else {},
        "findings": [],
        "versions": machine.versions(),
        "resumed": config.get("resumed", []),
    }
