"""Training in memory, without a run: one model (``gd.fit``), or one a fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gradus import tasks
from gradus.data import Dataset, MemoryDataset
from gradus.errors import UserError
from gradus.tasks import Task
from gradus.training import loop
from gradus.training.observers import BestWeights, OutOfTime, Validate
from gradus.training.prepare import Prepared, prepare, valid_every
from gradus.training.progress import tell
from gradus.training.result import Run
from gradus.training.settings import Settings


def fit(
    model: nn.Module, data: Any, task: Task | None = None, *, observers: Sequence[loop.Observer] = (), **settings: Any
) -> nn.Module:
    """Train a model in memory: ``train`` without the run, for a model that is a means and not the end.

    The steps are those of ``train``, to the bit; but nothing is written, printed or saved, so a fit that is
    interrupted is lost. Take it for the many small models of a picture or a comparison, and ``train`` for a model that
    is to be kept, resumed, reported on or predicted with.

    Args:
        observers: look at the training beside validation and early stopping; each sees the state after every step.
        settings: as of ``train``. Those about the run's directory and the terminal have no meaning here, and may stand
            among them.

    Returns:
        The model, in evaluation mode, with the weights that a run would be judged by.
    """
    asked = Settings.of({**settings, "out": None, "resume": "never", "quiet": True})
    return _train_in_memory(model, data, task, asked, observers).state.model


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
        prepared = _train_in_memory(build(part), part, objective, asked)
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


def _train_in_memory(
    model: nn.Module, data: Any, task: Task | None, settings: Settings, observers: Sequence[loop.Observer] = ()
) -> Prepared:
    """Prepare, run the loop, and settle on the weights; validation and early stopping as in a run, no directory."""
    prepared = prepare(model, data, task, settings)
    looking: list[loop.Observer] = []
    if len(prepared.data.splits["valid"]):
        looking.append(Validate(prepared.measure("valid"), valid_every(settings, prepared)))
    if settings.patience is not None or settings.keep_best:
        looking.append(BestWeights(settings.patience))
    if settings.minutes is not None:
        looking.append(OutOfTime(settings.minutes * 60))
    batches = loop.batches_of(prepared.data, prepared.order, prepared.state.total_steps)
    loop.run(prepared.state, batches, prepared.step, [*looking, *observers])
    prepared.settle()
    return prepared
