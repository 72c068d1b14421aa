"""Rung 7: a number to predict from many columns, most of them of little use, and a line that is hard to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradus as gd
from gradus.recipes.rung import rung


@rung(7, data="downloaded (2.5 MB), or --data", model="MLP", target="RMSE below ridge's (5-fold)", seconds=9)
def covid(
    *,
    data: str | None = None,
    keep: int = 0,
    hidden: int = 64,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 0.3,
    schedule: str = "one-cycle",
    folds: int = 5,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """How many tests are positive: regression, the choice of features, overfitting.

    Settings:
        data: the CSV file, or the directory that holds covid.train.csv
        keep: read only so many features, those that go most with the target on the training rows; 0 reads all
        hidden: width of the hidden layer
        folds: of the cross-validation that the target is measured by; 0 leaves it out
    """
    from torch import nn

    # 1 data: a state, and a survey's answers on five days in a row; the last column is the fifth day's share
    days = gd.data.table(gd.data.find_file("covid_hw1", "covid.train.csv.gz", data), drop=["id"], seed=seed)

    # 2 model: a line, and a hidden layer for what it leaves over; both say nothing at first
    def build(part: gd.data.MemoryDataset) -> gd.models.MLP:
        only = chosen(part, keep) if keep else ()
        model = gd.models.MLP(len(only) or part.num_inputs, hidden, 1, skip=True, only=only)
        for last in (model.line, model.layers[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
        return model

    # 3 objective: the squared error; the metric is in the target's own units
    task = gd.tasks.for_target(days)

    # 4 loop, and five more to be sure of the figure
    settings |= dict(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, schedule=schedule, seed=seed
    )
    run = gd.train(build(days), days, task, **settings)
    if folds:
        gd.cross_validate(build, days, folds=folds, run=run, **settings)
    return run


def chosen(part: gd.data.MemoryDataset, keep: int) -> tuple[int, ...]:
    """The places of the inputs whose correlation with the target, on the training rows alone, is the strongest."""
    if not 1 <= keep <= part.num_inputs:
        raise gd.UserError(f"keep: {keep} of {part.num_inputs} features; give a number from 1 to {part.num_inputs}.")
    rows = part.splits["train"]
    x, y = part.inputs.numpy()[rows].astype(np.float64), part.targets.numpy()[rows]
    centred = x - x.mean(axis=0)
    strength = np.abs(centred.T @ (y - y.mean())) / np.maximum(np.sqrt((centred**2).sum(axis=0)), 1e-9)
    return tuple(sorted(np.argsort(-strength, kind="stable")[:keep].tolist()))
