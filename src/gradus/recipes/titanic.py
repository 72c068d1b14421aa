"""Rung 5: a raw table, with missing values, categories and names."""

from __future__ import annotations

from typing import Any

import gradus as gd
from gradus.recipes.rung import rung


@rung(5, data="downloaded (60 kB), or --data", model="MLP, embeddings", target="accuracy ≥ 0.80 (5-fold)", seconds=15)
def titanic(
    *,
    data: str | None = None,
    epochs: int = 30,
    batch_size: int = 32,
    lr: float | str = 2e-3,
    weight_decay: float = 0.05,
    schedule: str = "one-cycle",
    hidden: int = 32,
    dropout: float = 0.3,
    folds: int = 5,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Who survived the Titanic: missing ages, categories, and the titles in the passengers' names.

    Settings:
        data: the CSV file, or the directory that holds train.csv
        hidden: width of the two hidden layers
        dropout: share of each hidden layer that is dropped in training
        folds: of the cross-validation that the target is measured by; 0 leaves it out
    """
    # 1 data: tickets and cabins are told apart by too few rows to learn from
    file = gd.data.find_file("titanic", "train.csv", data)
    passengers = gd.data.table(file, "Survived", categories="code", drop=["PassengerId", "Ticket"], seed=seed)

    # 2 model: embeddings for the categories, two hidden layers
    def build(part: gd.data.MemoryDataset) -> gd.models.MLP:
        widths = (part.num_inputs, hidden, hidden, part.num_outputs)
        return gd.models.MLP(*widths, dropout=dropout, categories=part.categories)

    # 3 objective: two classes
    task = gd.tasks.Binary(labels=("0", "1"))

    # 4 loop, and five more to be sure of the figure: 178 test rows alone are too few
    settings |= dict(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, schedule=schedule, seed=seed
    )
    run = gd.train(build(passengers), passengers, task, **settings)
    if folds:
        gd.cross_validate(build, passengers, task, folds=folds, run=run, **settings)
    return run
