"""Rung 16: how much somebody liked it; the models of rung 15 on a table of one's own."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.news import text_model
from gradus.recipes.rung import rung


@rung(16, data="--data: a table of (text, label)", model="as news", target="above tf-idf with a linear SVM", seconds=10)
def sentiment(
    *,
    data: str | None = None,
    text: tuple[str, ...] = (),
    target: str | None = None,
    test: str | None = None,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    normalise: Literal["NFC", "NFD", "NFKC", "NFKD", "none"] = "NFC",
    unescape: bool = False,
    leave_out: tuple[str, ...] = (),
    drop_missing_target: bool = False,
    model: Literal["bag", "rnn", "cnn", "transformer"] = "bag",
    tokens: Literal["words", "characters", "bpe"] = "words",
    vocabulary: int | None = None,
    min_count: int = 1,
    max_length: int = 200,
    width: int = 64,
    word_dropout: float = 0.3,
    balance: bool = False,
    epochs: int = 8,
    batch_size: int = 32,
    lr: float | str = 5e-3,
    schedule: str = "linear",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell the grade of a review, or any label of any text; tf-idf with a linear SVM is measured beside it.

    Settings:
        data: a table, JSON lines, a folder per class, … of texts with a label each
        text: the column of the text; may be repeated, to be joined [the longest]
        target: the column of the label [the one whose values recur]
        test: a file of test rows of its own, instead of a fifth of the data
        header: whether the first row names the columns [decided by looking]
        separator: what stands between two fields [decided by looking]
        encoding: of the files [UTF-8, or what their first bytes tell]
        normalise: the Unicode form that texts are brought to
        unescape: put what HTML's escapes stand for in their place
        leave_out: a text that is no sample; may be repeated
        drop_missing_target: leave out rows without a label instead of refusing them
        model: bag (mean of word vectors, as fastText), rnn, cnn or transformer
        tokens: what a text is cut into
        vocabulary: the most tokens that it may have [as many as there are]
        min_count: how often a token must occur to be known
        max_length: tokens that a longer text is cut to
        width: numbers that stand for a token
        word_dropout: share of the tokens that bag leaves out of a training text, each time others
        balance: weigh labels so that each counts the same, however rare it is
    """
    if data is None:
        raise gd.UserError("sentiment: no texts were given. Name a table of texts and labels: --data reviews.tsv")

    # 1 data
    reviews = gd.data.texts(
        data, text=text, target=target, test=test or 0.2, header=header, separator=separator, encoding=encoding,
        normalise=normalise, unescape=unescape, leave_out=leave_out, drop_missing_target=drop_missing_target,
        tokens=tokens, size=vocabulary, min_count=min_count, lower=True, max_length=max_length, seed=seed,
    )  # fmt: skip

    # 2 model
    network = text_model(model, reviews, width=width, word_dropout=word_dropout, max_length=max_length)

    # 3 objective: one label a text
    task = gd.tasks.for_target(reviews, balance=balance)

    # 4 loop
    return gd.train(
        network, reviews, task,
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, seed=seed, **settings,
    )  # fmt: skip
