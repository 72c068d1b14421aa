"""Rung 13: ``hello`` → ``ohlol``, by five nets from a cell written by hand to a GRU."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(13, data="built in: one word", model="RNN cell by hand, RNN, LSTM, GRU", target="exact", seconds=5)
def hello(
    *,
    text: str = "hello",
    answer: str = "ohlol",
    model: Literal["cell", "rnn", "embedding", "lstm", "gru"] = "cell",
    hidden: int = 16,
    steps: int = 100,
    optimizer: str = "adam",
    lr: float | str = 0.05,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Learn to answer a word with another of the same length, letter by letter.

    Settings:
        text: what is read
        answer: what is to be said, a letter for each letter that is read
        model: cell (written by hand), rnn, embedding (before an rnn; the others read one-hot letters), lstm or gru
        hidden: width of the memory
    """
    # 1 data: a sequence, and a label for each of its letters
    word = gd.data.tagged([text], [answer], name=f"{text} → {answer}")

    # 2 model: reads a letter, changes its memory, says a letter
    cell = "rnn" if model == "embedding" else model
    network = gd.models.RecurrentTagger(
        word.num_tokens, word.num_outputs, cell=cell, embedding=hidden if model == "embedding" else 0, hidden=hidden
    )

    # 3 objective: cross-entropy of each letter
    task = gd.tasks.for_target(word)

    # 4 loop
    run = gd.train(network, word, task, steps=steps, optimizer=optimizer, lr=lr, seed=seed, **settings)
    said = run.predict([text])[0]["text"]
    run.note(said=said, exact=said == answer)
    if not settings.get("quiet"):
        from gradus.training.progress import tell

        tell("said", f"{text} → {said}" + ("" if said == answer else f", not {answer}: more --steps would help"))
    return run
