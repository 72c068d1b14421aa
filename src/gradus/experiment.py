"""Puts the four nouns and the observers together: ``gd.train`` and ``gd.resume``."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from gradus import models, tasks
from gradus.data import as_dataset
from gradus.data.splits import some_rows
from gradus.errors import Interrupted, UserError
from gradus.reports import figures
from gradus.reports.live import LivePage
from gradus.reports.terminal import conclude, introduce
from gradus.tasks import Task
from gradus.training import checkpoint, loop, machine
from gradus.training.evaluate import MAX_TRAIN_ROWS, outputs_of
from gradus.training.evidence import Measured, write_evidence
from gradus.training.observers import Checkpoints, EarlyStopping, MetricsLog, OutOfTime, Validate, stop_on_signals
from gradus.training.predictor import Predictor
from gradus.training.prepare import Prepared, prepare, valid_every
from gradus.training.progress import Show, console, tell
from gradus.training.result import Run
from gradus.training.rundir import RunDirectory
from gradus.training.samples import samples_of
from gradus.training.settings import Settings
from gradus.training.state import TrainState
from gradus.training.triggers import Every


@dataclass(frozen=True)
class Recipe:
    """Which recipe is running, with what arguments, and which of them the person typed."""

    name: str
    arguments: Mapping[str, Any]
    typed: frozenset[str]
    defaults: Mapping[str, Any]


_recipe: contextvars.ContextVar[Recipe | None] = contextvars.ContextVar("recipe", default=None)


@contextlib.contextmanager
def running(recipe: Recipe) -> Iterator[None]:
    """Within it, a run that is begun notes the recipe, so that ``gradus resume`` can call it again."""
    token = _recipe.set(recipe)
    try:
        yield
    finally:
        _recipe.reset(token)


def train(model: nn.Module, data: Any, task: Task | None = None, **settings: Any) -> Run:
    """Train a model on data towards an objective; gives the run.

    Args:
        model: any module; it is trained in place.
        data: a dataset of ``gd.data``, a pair (inputs, targets) of arrays, or any torch dataset.
        task: what the target means; None infers it from the data.
        settings: the fields of ``gd.training.Settings`` by name: ``epochs=5, lr=1e-3, …``.

    Raises:
        UserError: for whatever a person can mend.
        Interrupted: on Ctrl-C or SIGTERM, after the state was saved.
    """
    asked = Settings.of(settings)
    if asked.resume != "never":
        return _reopen(model, data, task, asked)
    prepared = prepare(model, data, task, asked)
    recipe = _recipe.get()
    name = asked.name or (recipe.name if recipe else type(model).__name__.lower())
    directory = RunDirectory.create(name, asked.out)
    try:
        _check_space(directory, prepared.state)
        directory.write_config(_config(prepared, asked, settings, name, recipe))
        if prepared.lr_range is not None:
            directory.write_figure("lr_find", figures.lr_range(prepared.lr_range))
        checkpoint.save(directory.checkpoints, prepared.state)  # killed early, it resumes from its own weights
    except (OSError, UserError) as error:
        directory.remove_if_new()
        raise _told(error, directory) from None
    if not asked.quiet:
        introduce(prepared, asked, directory)
    return _go(prepared, asked, directory)


def resume(
    path: str | Path, model: nn.Module, data: Any, task: Task | None = None, *, device: str | None = None
) -> Run:
    """Go on with a run that was begun by ``gd.train`` in a person's own code, from its newest whole checkpoint.

    The model must have the shape of the one that began it; its weights are replaced. A run that is finished is
    opened and left as it is. For a run of a recipe, ``gradus resume RUN`` is all that is needed.

    ``device`` goes on with it elsewhere: the same samples in the same order, the same numbers but for rounding.
    """
    config = RunDirectory.open(path).config()
    stored = {key: entry["value"] for key, entry in config["settings"].items()}
    moved = {} if device is None else {"device": device}
    return train(model, data, task, **{**stored, **moved, "out": str(path), "resume": "continue"})


def _reopen(model: nn.Module, data: Any, task: Task | None, asked: Settings) -> Run:
    """Open a run again, and go on training where it isn't finished and going on is asked for."""
    if asked.out is None:
        raise UserError(f"resume='{asked.resume}' needs out= with the directory of the run.")
    directory = RunDirectory.open(asked.out)
    config = directory.config()
    dataset = as_dataset(data)
    if asked.resume == "open":  # to be measured on whatever data it was given
        return Run(directory.path, model=model, data=dataset, opened=True)
    if dataset.fingerprint != config["data"]["fingerprint"]:
        raise UserError(
            f"{directory.path}: the data are not those that the run was begun with: {dataset.describe()}; "
            f"then {config['data']['description']}. Give it the same data, or begin a new run."
        )
    if directory.summary() is not None:
        return Run(directory.path, model=model, data=dataset)
    chosen = {key: machine.Choice(entry["value"], entry["reason"]) for key, entry in config["chosen"].items()}
    if asked.device != config["settings"]["device"]["value"]:  # moved to another one
        del chosen["device"]
    prepared = prepare(model, dataset, task, replace(asked, minutes=None, steps=0, epochs=None), chosen)
    prepared.chosen["budget"] = chosen["budget"]
    prepared.state.total_steps = int(chosen["budget"].value)
    for line in checkpoint.load_newest(directory.checkpoints, prepared.state):
        directory.log(line)
        if not asked.quiet:
            tell("resume", line)
    directory.cut_metrics(prepared.state.step)
    directory.log(f"resumed at step {prepared.state.step}")
    directory.write_config({**config, "resumed": [*config.get("resumed", []), prepared.state.step]})
    if not asked.quiet:
        tell("resume", f"{directory.path} at step {prepared.state.step:,} of {prepared.state.total_steps:,}")
    return _go(prepared, asked, directory)


def _go(prepared: Prepared, settings: Settings, directory: RunDirectory) -> Run:
    """Run the loop with its observers, then settle, measure and write down what the run came to."""
    state, data, task = prepared.state, prepared.data, prepared.task
    per_epoch = prepared.order.batches_per_epoch

    def report(line: str) -> None:
        directory.log(line)
        console().print(line, style="yellow")

    log = MetricsLog(directory, settings.log_every or min(100, max(1, state.total_steps // 200)), per_epoch)
    observers: list[loop.Observer] = []
    if len(data.splits["valid"]):
        observers.append(Validate(prepared.measure("valid"), valid_every(settings, prepared)))
    if settings.patience is not None:
        observers.append(EarlyStopping(settings.patience))
    observers += samples_of(prepared, directory, None if settings.quiet else lambda text: tell("written", text))
    observers.append(log)
    show = Show(log, per_epoch, task.primary)
    if not settings.quiet:
        observers.append(show)
    if settings.minutes is not None:
        observers.append(OutOfTime(settings.minutes * 60))
    every = Every.parse(settings.save_every).in_steps(per_epoch)
    observers.append(Checkpoints(directory, every, report))
    directory.log(f"training from step {state.step} to {state.total_steps}")
    page = LivePage(directory) if settings.watch else None
    try:
        if page is not None:
            tell("watch", page.address)
        with stop_on_signals(state):
            loop.run(state, loop.batches_of(data, prepared.order, state.total_steps), prepared.step, observers)
        if state.stop is not None and state.stop.startswith("SIG"):
            directory.log(f"{state.stop}: saved at step {state.step}")
            raise Interrupted(str(directory.path))
        words = prepared.settle()
        Predictor(state.model, task, data.encoder, prepared.precision).save(directory.predictor)
        summary = _summarise(prepared, settings, directory, words)
        directory.write_summary(summary)
        if page is not None:
            page.finish()
    except OSError as error:
        raise _told(error, directory) from None
    except Interrupted:
        raise
    except KeyboardInterrupt:  # at once: what was saved last is still there
        raise Interrupted(str(directory.path)) from None
    finally:
        show.close()
        log.close()
        if page is not None:
            page.close()
    directory.log("finished")
    run = Run(directory.path, model=state.model, data=data)
    if not settings.quiet:
        conclude(run)
    return run


def _summarise(prepared: Prepared, settings: Settings, directory: RunDirectory, words: str) -> dict[str, Any]:
    state, data, task = prepared.state, prepared.data, prepared.task
    rows = {**data.splits, "train": some_rows(data.splits["train"], MAX_TRAIN_ROWS)}
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
        "engine": "eager",
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "steps": state.step,
        "samples": state.samples,
        "rows": {split: len(ids) for split, ids in data.splits.items()},
        "epochs": round(state.step / prepared.order.batches_per_epoch, 3),
        "stopped": state.stop or "the budget is spent",
        "weights": words,
        "seconds": seconds,
        "samples_per_second": round(state.samples / max(seconds["total"], 1e-9), 1),
        "metrics": metrics,
        "primary": task.primary,
        "baseline": tasks.baselines(task, data) if len(data.splits["test"]) else {},
        "findings": [],
        "versions": machine.versions(),
        "resumed": config.get("resumed", []),
    }


def _check_space(directory: RunDirectory, state: TrainState) -> None:
    """Refuse to begin a run whose checkpoints don't fit on the disk."""
    needed, free = 4 * checkpoint.size_of(state) + 1_000_000, shutil.disk_usage(directory.path).free
    if free < needed:
        raise UserError(
            f"{directory.path}: no space: the run needs about {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free. "
            "Make room, or name an --out on another disk."
        )


def _told(error: OSError | UserError, directory: RunDirectory) -> UserError:
    """A failure of the disk as one line."""
    if isinstance(error, UserError):
        return error
    hint = " Make room, or name an --out on another disk." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return UserError(f"{directory.path}: can't be written: {error.strerror}.{hint}")


def _config(
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
