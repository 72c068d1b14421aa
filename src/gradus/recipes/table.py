"""Rung 6: any table of the user's own."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(6, data="--data FILE.csv --target COLUMN", model="MLP", target="at least the linear model", seconds=10)
def table(
    *,
    data: str | None = None,
    target: str | None = None,
    test: str | None = None,
    kind: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    categories: Literal["one_hot", "code"] = "code",
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    drop_missing_target: bool = False,
    balance: bool = False,
    hidden: int = 64,
    dropout: float = 0.0,
    epochs: int = 60,
    lr: float | str = 2e-3,
    weight_decay: float = 0.3,
    schedule: str = "one-cycle",
    patience: int | None = 15,
    folds: int = 0,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Predict one column of a table from the others; the task is inferred from the column.

    Settings:
        data: CSV or TSV (also gzipped) or Parquet file
        target: the column to predict [the last one]
        test: a file of test rows of its own, instead of a fifth of the data
        kind: COLUMN=number|category|text|drop where the inferred kind is wrong; may be repeated
        drop: a column that the model must not see; may be repeated
        categories: how categories enter: code (a learnt vector each) or one_hot
        header: whether the first row names the columns [decided by looking]
        separator: what stands between two fields [decided by looking]
        encoding: of the files [UTF-8, or what their first bytes tell]
        drop_missing_target: leave out rows without a target instead of refusing them
        balance: weigh classes so that each counts the same
        hidden: width of the two hidden layers
        dropout: share of each hidden layer that is dropped in training
        folds: cross-validate in so many folds as well
    """
    if data is None:
        raise gd.UserError("table: no table was given. Name one with --data FILE.csv --target COLUMN.")
    kinds = dict(_pair(text) for text in kind)

    # 1 data
    rows = gd.data.table(
        data, target, test=test or 0.2, kinds=kinds, drop=drop, categories=categories, header=header,
        separator=separator, encoding=encoding, drop_missing_target=drop_missing_target, seed=seed,
    )  # fmt: skip

    # 2 model: a line, and two hidden layers for what it leaves over; embeddings for the categories
    def build(part: gd.data.MemoryDataset) -> gd.models.MLP:
        widths = (part.num_inputs, hidden, hidden, part.num_outputs)
        return gd.models.MLP(*widths, dropout=dropout, categories=part.categories, skip=True)

    # 3 objective: regression, two classes or more, as the target says
    task = gd.tasks.for_target(rows, balance=balance)

    # 4 loop
    settings |= dict(epochs=epochs, lr=lr, weight_decay=weight_decay, schedule=schedule, patience=patience, seed=seed)
    run = gd.train(build(rows), rows, task, **settings)
    if folds:
        gd.cross_validate(build, rows, task, folds=folds, valid=0.1, run=run, **settings)
    return run


def _pair(text: str) -> tuple[str, str]:
    column, equals, kind = text.rpartition("=")
    if not equals:
        raise gd.UserError(f"--kind {text}: write it as COLUMN=number, category, text or drop.")
    return column, kind
