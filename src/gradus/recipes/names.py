"""Rung 14: surnames of unequal length, letter by letter, and the language that they come from."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(14, data="names/ or download; --data", model="bidirectional GRU", target="accuracy ≥ 0.83", seconds=45)
def names(
    *,
    data: str | None = None,
    leave_out: tuple[str, ...] = (),
    cell: Literal["gru", "lstm", "rnn"] = "gru",
    embedding: int = 64,
    hidden: int = 256,
    layers: int = 1,
    bidirectional: bool = True,
    dropout: float = 0.3,
    epochs: int = 12,
    batch_size: int = 128,
    lr: float | str = 3e-3,
    schedule: str = "one-cycle",
    balance: bool = False,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell from which language a surname comes, reading it letter by letter.

    Settings:
        data: a table of (name, language), a folder with a file of names per language, or the set's own directory
        leave_out: a text that is no name; may be repeated
        cell: what reads the letters: gru, lstm or rnn
        embedding: numbers that stand for a letter
        hidden: width of the memory, each way
        layers: how many stand one upon the other
        bidirectional: read each name backwards as well
        dropout: share of the embeddings and of the memory that is dropped in training
        balance: weigh languages so that each counts the same, however rare it is
    """
    # 1 data: letters; names of like length share a batch, so that little of it is padding
    surnames = gd.data.names(data, leave_out=leave_out, seed=seed)

    # 2 model: the last memory of either direction, and a line
    model = gd.models.RecurrentClassifier(
        surnames.num_tokens, surnames.num_outputs, embedding=embedding, hidden=hidden, layers=layers, cell=cell,
        bidirectional=bidirectional, dropout=dropout,
    )  # fmt: skip

    # 3 objective: one language a name
    task = gd.tasks.for_target(surnames, balance=balance)

    # 4 loop
    return gd.train(
        model, surnames, task,
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, seed=seed, **settings,
    )  # fmt: skip
