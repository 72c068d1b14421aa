"""Puts the four nouns and the observers together: ``gd.train``, ``gd.resume``, ``gd.cross_validate`` and ``gd.Run``."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gradus import models, tasks
from gradus.data import Dataset, MemoryDataset, Order, as_dataset
from gradus.data.table import labelled, rows_of
from gradus.errors import Interrupted, UserError
from gradus.tasks import Prediction, Task
from gradus.training import checkpoint, loop, machine
from gradus.training.evaluate import evaluate, some_rows
from gradus.training.observers import Checkpoints, EarlyStopping, MetricsLog, Validate, stop_on_signals
from gradus.training.optim import default_lr, make_optimizer
from gradus.training.predictor import Predictor, encoder_of
from gradus.training.progress import Show, console, tell
from gradus.training.rundir import RunDirectory
from gradus.training.settings import Settings
from gradus.training.state import Average, TrainState
from gradus.training.step import Step, supervised
from gradus.training.triggers import Every


@dataclass(frozen=True)
class Recipe:
    """Which recipe is running, with what arguments, and which of them the person typed."""

    name: str
    arguments: Mapping[str, Any]
    typed: frozenset[str]


_recipe: contextvars.ContextVar[Recipe | None] = contextvars.ContextVar("recipe", default=None)


@contextlib.contextmanager
def running(recipe: Recipe) -> Iterator[None]:
    """Within it, a run that is begun notes the recipe, so that ``gradus resume`` can call it again."""
    token = _recipe.set(recipe)
    try:
        yield
    finally:
        _recipe.reset(token)


class Run:
    """A finished or unfinished run: its directory, what it came to, and its predictor.

    Args:
        path: the run's directory.
        model: the module to load the weights into, where it isn't one of ``gd.models``.
        data: the dataset it was trained on, for ``test``.
        opened: whether it was only opened, so that nothing may be added to it.

    Raises:
        UserError: where the path is no run.
    """

    def __init__(
        self, path: str | Path, *, model: nn.Module | None = None, data: Dataset | None = None, opened: bool = False
    ) -> None:
        self.directory = RunDirectory.open(path)
        self.path = self.directory.path
        self.config = self.directory.config()
        self._model, self._data, self.opened = model, data, opened
        self._predictor: Predictor | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds.

        Raises:
            UserError: where the run isn't finished.
        """
        summary = self.directory.summary()
        if summary is None:
            raise UserError(f"{self.path}: not finished yet. Go on with: gradus resume {self.path}")
        return summary

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by split."""
        metrics: dict[str, dict[str, float]] = self.summary["metrics"]
        return metrics

    @property
    def predictor(self) -> Predictor:
        """Weights and preprocessing, loaded on first use."""
        if self._predictor is None:
            assert self.summary  # says so where the run isn't finished
            self._predictor = Predictor.load(self.directory.predictor, self._model)
        return self._predictor

    @property
    def model(self) -> nn.Module:
        """The trained module."""
        return self.predictor.model

    def predict(self, rows: Sequence[Any] | np.ndarray) -> list[Prediction]:
        """Raw input in, meaning out: dicts by column name for a table, arrays for pictures."""
        return self.predictor.predict(rows)

    def test(self, data: Dataset | None = None) -> dict[str, float]:
        """Loss and metrics on rows that training never saw: the test split of the run's data, or of other data.

        Other data are read with the run's preprocessing, not with statistics of their own.
        """
        data = data or self._data
        if data is None:
            return self.metrics["test"]
        if len(data.splits["test"]) == 0:
            raise UserError(f"{data.name}: has no test split; there are no rows that training never saw.")
        predictor = self.predictor
        if isinstance(data, MemoryDataset) and predictor.encoder is not None:
            data = data.encoded_by(predictor.encoder)
        data = data.to(predictor.device)
        return evaluate(
            predictor.model.eval(),
            data,
            data.splits["test"],
            predictor.task,
            device=predictor.device,
            precision=predictor.precision,
        )

    @property
    def reads_tables(self) -> bool:
        """Whether its input is rows of named columns."""
        encoder = self.predictor.encoder
        return encoder is not None and encoder.is_table

    def table_rows(self, source: Any) -> list[dict[str, Any]]:
        """The rows of a table file or data frame, with the columns that the run reads."""
        assert self.predictor.encoder is not None
        return rows_of(source, self.predictor.encoder)

    def test_table(self, source: Any) -> dict[str, float]:
        """Loss and metrics on all rows of a table file or data frame, which must hold the target."""
        predictor = self.predictor
        assert predictor.encoder is not None
        inputs, targets = labelled(source, predictor.encoder)
        return predictor.measure(inputs, targets)

    def note(self, **values: Any) -> None:
        """Add values to the summary, as a cross-validation does; nothing where the run was only opened."""
        if self.opened:
            return
        self.directory.write_summary({**self.summary, **values})

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


@dataclass
class Prepared:
    """Everything that training needs, put together once: for a run as for a fold of a cross-validation."""

    state: TrainState
    data: Dataset
    task: Task
    order: Order
    step: Step
    device: torch.device
    chosen: dict[str, machine.Choice]

    @property
    def precision(self) -> str:
        return self.chosen["precision"].value

    def measure(self, split: str) -> Callable[[TrainState], dict[str, float]]:
        """A function that measures the weights in use on a split."""
        rows = self.data.splits[split]

        def metrics(state: TrainState) -> dict[str, float]:
            with state.weights_in_use() as model:
                return evaluate(model, self.data, rows, self.task, device=self.device, precision=self.precision)

        return metrics

    def settle(self) -> str:
        """Put the weights that the run is judged by into the model: the best, else the average, else the last."""
        state = self.state
        if state.best is not None:
            state.model.load_state_dict(state.best.weights)
            words = f"the best weights, of step {state.best.step:,}"
        elif state.average is not None:
            state.average.swap()
            words = "the averaged weights"
        else:
            words = "the last weights"
        state.average = None
        state.model.eval()
        return words


def prepare(
    model: nn.Module,
    data: Any,
    task: Task | None,
    settings: Settings,
    chosen: Mapping[str, machine.Choice] | None = None,
) -> Prepared:
    """Choose what is to be chosen, move everything to its device, and make state, order and step.

    ``chosen`` holds what an earlier part of the same run chose.
    """
    dataset = as_dataset(data)
    if task is None:
        task = tasks.for_target(dataset)
    chosen = dict(chosen or {})
    device, reason = machine.choose_device(chosen["device"].value if "device" in chosen else settings.device)
    chosen.setdefault("device", machine.Choice(str(device), reason))
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 products
    dataset, model = dataset.to(device), model.to(device)
    rows = dataset.splits["train"]
    first = dataset.batch(torch.from_numpy(rows[: settings.batch_size]).to(device))
    _check_fit(model, task, first.inputs, first.targets)
    if "layout" not in chosen:
        chosen["layout"] = machine.choose_layout(settings.layout, model, task, first)
    if chosen["layout"].value == "channels_last" and first.inputs.ndim == 4:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        dataset = dataset.to(device, channels_last=True)
        first = dataset.batch(first.indices)
    if "precision" not in chosen:
        chosen["precision"] = machine.choose_precision(settings.precision, model, task, first)
    order = Order(rows, settings.batch_size, seed=settings.seed, device=device)
    state = TrainState(
        model=model,
        optimizer=make_optimizer(model.parameters(), settings, device),
        total_steps=0,
        seed=settings.seed,
        average=None if settings.ema is None else Average(model, settings.ema),
        loss_sum=torch.zeros((), device=device, dtype=torch.float32 if device.type == "mps" else torch.float64),
    )
    step = supervised(
        task,
        lr=settings.lr if settings.lr is not None else default_lr(settings.optimizer),
        schedule=settings.schedule,
        warmup=settings.warmup,
        clip=settings.clip,
        accumulate=settings.accumulate,
        precision=chosen["precision"].value,
    )
    prepared = Prepared(state, dataset, task, order, step, device, chosen)
    state.total_steps, budget = _budget(settings, prepared, first)
    chosen["budget"] = machine.Choice(str(state.total_steps), budget)
    return prepared


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
    except (OSError, UserError) as error:
        directory.remove_if_new()
        raise _told(error, directory) from None
    if not asked.quiet:
        _introduce(prepared, asked, directory)
    return _go(prepared, asked, directory)


def resume(path: str | Path, model: nn.Module, data: Any, task: Task | None = None) -> Run:
    """Go on with a run that was begun by ``gd.train`` in a person's own code, from its newest whole checkpoint.

    The model must have the shape of the one that began it; its weights are replaced. A run that is finished is
    opened and left as it is. For a run of a recipe, ``gradus resume RUN`` is all that is needed.
    """
    config = RunDirectory.open(path).config()
    stored = {key: entry["value"] for key, entry in config["settings"].items()}
    return train(model, data, task, **{**stored, "out": str(path), "resume": "continue"})


def cross_validate(
    build: Callable[[MemoryDataset], nn.Module],
    data: Dataset,
    task: Task | None = None,
    *,
    folds: int = 5,
    valid: float = 0.0,
    run: Run | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train a fresh model on each of k folds, and measure each on the rows that it didn't see.

    Args:
        build: makes a model for a fold's data, in which everything fitted on training rows is fitted anew.
        valid: the share of each fold's training rows kept for validation, where there is early stopping.
        run: a run to note the outcome in, under "cross_validation".
        settings: as of ``train``.

    Returns:
        ``{"folds": k, metric: {"mean", "sd", "folds"}, …, "baseline": {name: {metric: mean}}}``.
    """
    asked = Settings.of({**settings, "out": None, "resume": "never"})
    if run is not None and (run.opened or "cross_validation" in run.summary):
        return dict(run.summary.get("cross_validation", {}))
    if not isinstance(data, MemoryDataset):
        raise UserError("cross-validation needs data in memory: a table or arrays.")
    results: list[dict[str, float]] = []
    others: list[dict[str, dict[str, float]]] = []
    for number in range(folds):
        part = data.fold(number, folds, valid=valid, seed=asked.seed)
        torch.manual_seed(asked.seed + number)
        objective = task or tasks.for_target(part)
        if isinstance(objective, tasks.Regression):
            objective = replace(objective, mean=part.target.mean, std=part.target.std)
        prepared = prepare(build(part), part, objective, asked)
        stopping = [EarlyStopping(objective, asked.patience)] if asked.patience else []
        checks = (
            [Validate(prepared.measure("valid"), _valid_every(asked, prepared))] if len(part.splits["valid"]) else []
        )
        loop.run(prepared.state, loop.batches_of(prepared.data, prepared.order), prepared.step, [*checks, *stopping])
        prepared.settle()
        results.append(prepared.measure("test")(prepared.state))
        others.append(tasks.baselines(objective, part))
        if not asked.quiet:
            told = " · ".join(f"{n} {scores[objective.primary]:.4f}" for n, scores in others[-1].items())
            tell(f"fold {number + 1}/{folds}", f"{objective.primary} {results[-1][objective.primary]:.4f}  ({told})")
    out: dict[str, Any] = {"folds": folds}
    for metric in results[0]:
        values = [scores[metric] for scores in results]
        out[metric] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "folds": values}
    out["baseline"] = {
        name: {metric: float(np.mean([o[name][metric] for o in others])) for metric in others[0][name]}
        for name in others[0]
    }
    primary = objective.primary
    if not asked.quiet:
        told = " · ".join(f"{name} {scores[primary]:.4f}" for name, scores in out["baseline"].items())
        tell(f"{folds} folds", f"{primary} {out[primary]['mean']:.4f} ± {out[primary]['sd']:.4f}  ({told})")
    if run is not None:
        run.note(cross_validation=out)
    return out


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
    prepared = prepare(model, dataset, task, replace(asked, minutes=None, steps=0, epochs=None), chosen)
    prepared.chosen["budget"] = chosen["budget"]
    prepared.state.total_steps = int(chosen["budget"].value)
    if checkpoint.steps(directory.checkpoints):
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
        observers.append(Validate(prepared.measure("valid"), _valid_every(settings, prepared)))
    if settings.patience is not None:
        observers.append(EarlyStopping(task, settings.patience))
    observers.append(log)
    show = Show(log, per_epoch, task.primary)
    if not settings.quiet:
        observers.append(show)
    if settings.minutes is not None:
        observers.append(OutOfTime(settings.minutes * 60))
    every = Every.parse(settings.save_every).in_steps(per_epoch)
    observers.append(Checkpoints(directory, every, report))
    directory.log(f"training from step {state.step} to {state.total_steps}")
    try:
        with stop_on_signals(state):
            loop.run(state, loop.batches_of(data, prepared.order), prepared.step, observers)
        if state.stop is not None and state.stop.startswith("SIG"):
            directory.log(f"{state.stop}: saved at step {state.step}")
            raise Interrupted(str(directory.path))
        words = prepared.settle()
        Predictor(state.model, task, encoder_of(data), prepared.precision).save(directory.predictor)
        summary = _summarise(prepared, settings, directory, words)
        directory.write_summary(summary)
    except OSError as error:
        raise _told(error, directory) from None
    finally:
        show.close()
        log.close()
    directory.log("finished")
    run = Run(directory.path, model=state.model, data=data)
    if not settings.quiet:
        conclude(run)
    return run


class OutOfTime(loop.Observer):
    """Ends a run whose budget in minutes is spent before the steps that it was thought to hold."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def step(self, state: TrainState) -> None:
        if state.seconds["total"] > self.seconds:
            state.stop = "the minutes are spent"


def _summarise(prepared: Prepared, settings: Settings, directory: RunDirectory, words: str) -> dict[str, Any]:
    state, data, task = prepared.state, prepared.data, prepared.task
    rows = {**data.splits, "train": some_rows(data.splits["train"])}
    metrics = {
        split: evaluate(state.model, data, ids, task, device=prepared.device, precision=prepared.precision)
        for split, ids in rows.items()
        if len(ids)
    }
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


def _introduce(prepared: Prepared, settings: Settings, directory: RunDirectory) -> None:
    """Every choice that was made for the person, once, with its reason and its flag."""
    data, model, task = prepared.data, prepared.state.model, prepared.task
    parameters = sum(p.numel() for p in model.parameters())
    tell("data", data.describe())
    for note in getattr(data, "notes", ()):
        tell("", note)
    tell("model", f"{type(model).__name__}, {parameters:,} parameters")
    classes = f" of {len(data.labels)} classes" if data.labels else ""
    tell("objective", f"{task.name}{classes}: {data.target.reason}" if data.target.reason else task.name)
    for key, flag in (("device", "--device"), ("precision", "--precision"), ("layout", "--layout")):
        choice = prepared.chosen[key]
        tell(key, f"{choice.value} ({choice.reason}) [{flag}]")
    lr = prepared.state.optimizer.param_groups[0]["lr"] if settings.lr is None else settings.lr
    tell(
        "optimiser",
        f"{settings.optimizer}, learning rate {lr:g}, {settings.schedule} schedule, batch {settings.batch_size}",
    )
    tell("budget", f"{prepared.state.total_steps:,} steps ({prepared.chosen['budget'].reason})")
    tell("run", str(directory.path))


def conclude(run: Run) -> None:
    """The result beside its baselines, where the run is, and what to type next."""
    summary = run.summary
    primary = summary["primary"]
    split = "test" if "test" in summary["metrics"] else "valid" if "valid" in summary["metrics"] else "train"
    metrics = summary["metrics"][split]
    others = ", ".join(f"{name} {_figure(value)}" for name, value in metrics.items() if name != primary)
    tell(split, f"{primary} {_figure(metrics[primary])}  ({others})")
    for name, scores in summary["baseline"].items():
        tell("", f"{_figure(scores[primary])} {name}")
    seconds = summary["seconds"]
    parts = ", ".join(
        f"{key.replace('_', ' ')} {seconds[key]:.1f}" for key in ("train", "validate", "data_wait", "save")
    )
    tell("time", f"{seconds['total']:.1f} s ({parts}); {summary['samples_per_second']:,.0f} samples/s")
    tell("run", str(run.path))
    tell("next", f"gradus predict {run.path} INPUT   ·   gradus test {run.path}")


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"


def _valid_every(settings: Settings, prepared: Prepared) -> Every:
    """As asked; else each epoch, but at most some fifty times a run."""
    per_epoch = prepared.order.batches_per_epoch
    if settings.valid_every is not None:
        return Every.parse(settings.valid_every).in_steps(per_epoch)
    return Every(steps=max(per_epoch, -(-prepared.state.total_steps // 50)))


def _budget(settings: Settings, prepared: Prepared, batch: Any) -> tuple[int, str]:
    """How many steps to train for, and why."""
    per_epoch = prepared.order.batches_per_epoch
    limits: list[tuple[int, str]] = []
    if settings.steps is not None:
        limits.append((settings.steps, f"{settings.steps / per_epoch:.3g} epochs [--steps]"))
    if settings.epochs is not None:
        limits.append((settings.epochs * per_epoch, f"{settings.epochs} epochs of {per_epoch:,} [--epochs]"))
    if settings.minutes is not None:
        seconds = machine.fastest(machine.rehearsal(prepared.state.model, prepared.task, batch), rounds=8)[0]
        steps = max(1, int(0.9 * settings.minutes * 60 / (1.15 * seconds)))  # update, validation and saving take theirs
        limits.append(
            (steps, f"in {settings.minutes:g} minutes at {1000 * seconds:.3g} ms forward and backward [--minutes]")
        )
    if not limits:
        limits.append((10 * per_epoch, "10 epochs, nothing was asked for [--epochs, --steps, --minutes]"))
    return min(limits)


def _check_fit(model: nn.Module, task: Task, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """One forward pass without a trace, so that a model that doesn't fit the data is told in one line."""
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = tuple(inputs.shape)
        raise UserError(
            f"the model can't read a batch of inputs of shape {shape}, {inputs.dtype}: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"the model gives a {type(outputs).__name__}; {task.name} needs one tensor of outputs.")
    task.check(outputs, targets)
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError("the model has no parameters to train.")


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

    return {
        "name": name,
        "recipe": recipe.name if recipe else None,
        "arguments": dict(recipe.arguments) if recipe else {},
        "typed": sorted(recipe.typed) if recipe else [],
        "settings": {f.name: {"value": getattr(settings, f.name), "from": origin(f.name)} for f in fields(settings)},
        "chosen": {key: {"value": c.value, "reason": c.reason} for key, c in prepared.chosen.items()},
        "data": {"description": prepared.data.describe(), "fingerprint": prepared.data.fingerprint},
        "model": models.describe(prepared.state.model),
        "task": prepared.task.to_json(),
        "versions": machine.versions(),
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "program": Path(sys.argv[0]).name,
    }
