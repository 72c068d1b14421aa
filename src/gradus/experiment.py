"""Puts the four nouns and the observers together: ``gd.train`` and ``gd.resume``."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from gradus.data import Dataset, as_dataset
from gradus.doctor import run as doctor
from gradus.doctor.words import both_told
from gradus.errors import Interrupted, UserError
from gradus.reports import figures
from gradus.reports.live import LivePage
from gradus.reports.terminal import conclude, introduce
from gradus.tasks import Task
from gradus.training import accident, checkpoint, loop, machine
from gradus.training.account import Recipe, config_of, refuse_other_settings, summary_of
from gradus.training.observers import BestWeights, MetricsLog, Notices, OutOfTime, Validate, stop_on_signals
from gradus.training.predictor import Predictor
from gradus.training.prepare import Prepared, prepare, valid_every
from gradus.training.progress import Show, console, tell
from gradus.training.result import Run
from gradus.training.rundir import RunDirectory, finite, is_run
from gradus.training.samples import samples_of
from gradus.training.saving import Checkpoints
from gradus.training.settings import Settings
from gradus.training.state import TrainState
from gradus.training.triggers import Every
from gradus.training.whole import write_json
from gradus.training.world import World, join, leads, once

_recipe: contextvars.ContextVar[Recipe | None] = contextvars.ContextVar("recipe", default=None)


@contextlib.contextmanager
def running(recipe: Recipe) -> Iterator[None]:
    """Within it, a run that is begun notes the recipe, so that ``gradus resume`` can call it again."""
    token = _recipe.set(recipe)
    try:
        yield
    finally:
        _recipe.reset(token)


def recipe_now() -> Recipe | None:
    """The recipe that is running, where one is."""
    return _recipe.get()


def train(model: nn.Module, data: Any, task: Task | None = None, **settings: Any) -> Run:
    """Train a model on data towards an objective; gives the run.

    Args:
        model: any module; it is trained in place.
        data: a dataset of ``gd.data``, a pair (inputs, targets) of arrays, or any torch dataset.
        task: what the target means; None infers it from the data.
        settings: the fields of ``gd.training.Settings`` by name: ``epochs=5, lr=1e-3, …``. With ``out=`` and
            ``resume="auto"`` a run that is there already is gone on with.

    Raises:
        UserError: for whatever a person can mend.
        Interrupted: on Ctrl-C, SIGTERM or SIGUSR1, after the state was saved.
    """
    asked = Settings.of(settings)
    if asked.resume != "never" and asked.out is None:
        raise UserError(f"resume='{asked.resume}' needs out= with the directory of the run [--out].")
    world = None if asked.resume == "open" else join()
    # asked of one process, for a slower one would find the directory that it has just made
    there = asked.resume == "auto" and once(world, lambda: is_run(asked.out))
    if asked.resume in ("continue", "open") or there:
        return _reopen(model, data, task, asked, world)
    prepared = prepare(model, data, task, asked, world=world)
    directory = once(world, lambda: _begin(prepared, asked, settings))
    if not asked.quiet:
        introduce(prepared, asked, directory)
    return _go(prepared, asked, directory)


def _begin(prepared: Prepared, asked: Settings, given: Mapping[str, Any]) -> RunDirectory:
    """A new run on disk, with all that it takes to resume it: it is one as soon as it has its config.json."""
    recipe = _recipe.get()
    name = asked.name or (recipe.name if recipe else type(prepared.state.model).__name__.lower())
    directory = RunDirectory.create(name, asked.out)
    try:
        _check_space(directory, prepared.state, asked.keep)
        if prepared.lr_range is not None:
            directory.write_figure("lr_find", figures.lr_range(prepared.lr_range))
        checkpoint.save(directory.checkpoints, prepared.state)  # killed early, it resumes from its own weights
        if prepared.data.kept:
            directory.write_kept(dict(prepared.data.kept))
        directory.write_doctor(doctor.stored(doctor.look_at_start(prepared, asked)))
        directory.write_config(config_of(prepared, asked, given, name, recipe))
    except OSError as error:
        directory.remove_if_new()
        raise _told(error, directory) from None
    except BaseException:
        directory.remove_if_new()
        raise
    return directory


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


def _reopen(model: nn.Module, data: Any, task: Task | None, asked: Settings, world: World | None) -> Run:
    """Open a run again, and go on training where it isn't finished and going on is asked for."""
    dataset = as_dataset(data)
    assert asked.out is not None
    if asked.resume == "open":  # to be measured on whatever data it was given
        return Run(asked.out, model=model, data=dataset, opened=True)
    directory, config = once(world, lambda: _open_to_go_on(dataset, asked))
    if directory.summary() is not None:
        run = Run(directory.path, model=model, data=dataset, opened=not leads(world))
        if asked.resume == "auto" and not asked.quiet:
            tell("resume", f"{directory.path} was finished already")
            conclude(run)
        return run
    chosen = {key: machine.Choice(entry["value"], entry["reason"]) for key, entry in config["chosen"].items()}
    if asked.device != config["settings"]["device"]["value"]:  # moved to another one
        del chosen["device"]
    prepared = prepare(model, dataset, task, replace(asked, minutes=None, steps=0, epochs=None), chosen, world)
    once(world, lambda: _load(prepared, asked, directory, config))
    if not asked.quiet:
        state = prepared.state
        tell("resume", f"{directory.path} at step {state.step:,} of {state.total_steps:,}")
    return _go(prepared, asked, directory)


def _open_to_go_on(dataset: Dataset, asked: Settings) -> tuple[RunDirectory, dict[str, Any]]:
    """The run's directory, locked where it isn't finished, and what it was begun with.

    Raises:
        UserError: where it can't be gone on with as asked.
    """
    directory = RunDirectory.open(str(asked.out))
    config = directory.config()
    if asked.resume == "auto":
        refuse_other_settings(directory.path, config, asked, _recipe.get())
    if dataset.fingerprint != config["data"]["fingerprint"]:
        raise UserError(
            f"{directory.path}: the data are not those that the run was begun with: {dataset.describe()}; "
            f"then {config['data']['description']}. Give it the same data, or begin a new run."
        )
    if directory.summary() is None:
        try:
            directory.lock()
        except OSError as error:
            raise _told(error, directory) from None
    return directory, config


def _load(prepared: Prepared, asked: Settings, directory: RunDirectory, config: dict[str, Any]) -> None:
    """Take the newest checkpoint that is whole, and cut what was logged back to it."""
    state = prepared.state
    for line in checkpoint.load_newest(directory.checkpoints, state):
        directory.log(line)
        tell("resume", line)
    directory.log(f"resumed at step {state.step}")
    config["settings"]["on_nan"]["value"] = asked.on_nan
    try:
        directory.cut_metrics(state.step)
        directory.accident.unlink(missing_ok=True)
        directory.write_config({**config, "resumed": [*config.get("resumed", []), state.step]})
    except OSError as error:
        raise _told(error, directory) from None


def _go(prepared: Prepared, settings: Settings, directory: RunDirectory) -> Run:
    """Run the loop with its observers, then settle, measure and write down what the run came to.

    Where several processes train together, all of them decide alike, and one measures, tells and writes.
    """
    state, data, world = prepared.state, prepared.data, prepared.state.world

    def report(line: str) -> None:
        directory.log(line)
        console().print(line, style="yellow", markup=False)

    per_epoch = prepared.order.batches_per_epoch
    log = MetricsLog(directory, settings.log_every or min(100, max(1, state.total_steps // 200)), per_epoch)
    show = Show(log, per_epoch, prepared.task.primary, data.steps if data.lengths is None else 1)
    every = Every.parse(settings.save_every).in_steps(per_epoch)
    watch = settings.on_nan != "ignore"
    checkpoints = Checkpoints(directory, every, settings.keep, report, accident.check_weights if watch else None)
    deciding: list[loop.Observer] = []
    if len(data.splits["valid"]):
        deciding.append(Validate(prepared.measure("valid"), valid_every(settings, prepared)))
    if settings.patience is not None or settings.keep_best:
        deciding.append(BestWeights(settings.patience))
    telling: list[loop.Observer] = [Notices(report)]
    telling += samples_of(prepared, directory, None if settings.quiet else lambda text: tell("written", text))
    telling += [log, *([accident.Watch(log)] if settings.on_nan == "stop" else []), *([] if settings.quiet else [show])]
    telling.append(doctor.OnTheWay(prepared, directory, report))
    if settings.minutes is not None:
        telling.append(OutOfTime(settings.minutes * 60))
    telling.append(checkpoints)
    observers = [*deciding, *(telling if leads(world) else [])]
    if leads(world):
        directory.log(f"training from step {state.step} to {state.total_steps}")
    page = LivePage(directory) if settings.watch and leads(world) else None
    try:
        if page is not None:
            tell("watch", page.address)
        with stop_on_signals(state):
            loop.run(state, loop.batches_of(data, prepared.order, state.total_steps, world), prepared.step, observers)
        if state.stop is not None and state.stop.startswith("SIG"):
            saved = checkpoints.saved_step if leads(world) else state.step
            if leads(world):
                directory.log(f"{state.stop}: stopped at step {state.step}, saved at step {saved}")
            raise Interrupted(str(directory.path), saved=saved == state.step)
        words = prepared.settle()
        once(world, lambda: _finish(prepared, directory, words))
        if page is not None:
            page.finish()
    except accident.NotFinite as seen:
        show.close()
        raise _explained(seen, prepared, directory) from None
    except Interrupted:
        raise
    except KeyboardInterrupt:  # at once: what was saved last is still there
        raise Interrupted(str(directory.path), saved=False) from None
    finally:
        show.close()
        log.close()
        directory.unlock()
        if page is not None:
            page.close()
    run = Run(directory.path, model=state.model, data=data, opened=not leads(world))
    if not settings.quiet:
        conclude(run)
    return run


def _finish(prepared: Prepared, directory: RunDirectory, words: str) -> None:
    """Write what the run came to: its predictor, its evidence, its summary.

    Raises:
        UserError: where the disk refuses.
    """
    predictor = Predictor(prepared.state.model, prepared.task, prepared.data.encoder, prepared.precision)
    try:
        predictor.save(directory.predictor)
        summary = summary_of(prepared, directory, words)
        kept = directory.doctor_seen()
        seen, found = doctor.look_at_end(prepared, directory, doctor.of_stored(kept), summary)
        for trouble in found.troubles:  # the doctor's own fault: of the run nothing is wrong
            directory.log(f"doctor: {trouble.strip().splitlines()[-1]}")
        directory.write_doctor({**kept, **doctor.stored(seen, "end")})
        directory.write_summary({**summary, "findings": both_told(found)})
    except OSError as error:
        raise _told(error, directory, f" Then go on with: gradus resume {directory.path}") from None
    directory.log("finished")


def _explained(seen: accident.NotFinite, prepared: Prepared, directory: RunDirectory) -> UserError:
    """What was not finite, where and why: found by going through the steps since the last checkpoint once more."""
    state = prepared.state
    state.world = None  # the others wait, and end when this process does
    directory.log(str(seen))
    tell("not finite", f"{seen}; looking for where it began, from the last checkpoint on")
    checkpoint.load_newest(directory.checkpoints, state)
    batches = loop.batches_of(prepared.data, prepared.order, state.total_steps)
    found = accident.find(state, batches, prepared.step, prepared.task, prepared.data, prepared.order, until=seen.step)
    kept = checkpoint.steps(directory.checkpoints)[-1]
    if found is None:
        return UserError(f"{directory.path}: {seen}; the checkpoint of step {kept} is kept.")
    for line in found.lines():
        directory.log(line)
        tell("", line)
    with contextlib.suppress(OSError):
        write_json(directory.accident, finite(found.to_json()))
    return UserError(f"{directory.path}: {found.line()} The checkpoint of step {kept} is kept.")


def _check_space(directory: RunDirectory, state: TrainState, keep: int) -> None:
    """Refuse to begin a run whose checkpoints don't fit on the disk: those kept, the one being written, a predictor."""
    needed, free = (keep + 2) * checkpoint.size_of(state) + 1_000_000, shutil.disk_usage(directory.path).free
    if free < needed:
        raise UserError(
            f"{directory.path}: no space: the run needs about {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free. "
            "Make room, or name an --out on another disk."
        )


def _told(error: OSError, directory: RunDirectory, then: str = "") -> UserError:
    """A failure of the disk as one line."""
    hint = " Make room, or name an --out on another disk." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return UserError(f"{directory.path}: can't be written: {error.strerror}.{hint}{then}")
