"""Rung 15: the topic of a piece of news, by a bag of word vectors, a recurrent net, a convolution or a Transformer."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(15, data="ag_news/ or download", model="bag of embeddings", target="accuracy ≥ 0.882", seconds=10)
def news(
    *,
    data: str | None = None,
    model: Literal["bag", "rnn", "cnn", "transformer"] = "bag",
    tokens: Literal["words", "characters", "bpe"] = "words",
    vocabulary: int | None = None,
    min_count: int = 1,
    max_length: int = 200,
    width: int = 64,
    word_dropout: float = 0.3,
    epochs: int = 5,
    batch_size: int = 32,
    lr: float | str = 5e-3,
    schedule: str = "linear",
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Tell the topic of a piece of news; tf-idf with a linear SVM is measured beside it.

    Settings:
        data: the directory of AG News' files; texts of your own are for the recipe sentiment
        model: bag (mean of word vectors, as fastText), rnn, cnn or transformer
        tokens: what a text is cut into
        vocabulary: the most tokens that it may have [as many as there are]
        min_count: how often a token must occur to be known
        max_length: tokens that a longer text is cut to
        width: numbers that stand for a token
        word_dropout: share of the tokens that bag leaves out of a training text, each time others
    """
    # 1 data: words; texts of like length share a batch
    stories = gd.data.ag_news(
        data, tokens=tokens, size=vocabulary, min_count=min_count, max_length=max_length, seed=seed
    )

    # 2 model
    network = text_model(model, stories, width=width, word_dropout=word_dropout, max_length=max_length)

    # 3 objective: one topic a text
    task = gd.tasks.for_target(stories)

    # 4 loop
    return gd.train(
        network, stories, task,
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, seed=seed, **settings,
    )  # fmt: skip


def text_model(kind: str, data: gd.data.TextClasses, *, width: int, word_dropout: float, max_length: int) -> Any:
    """A classifier of texts by its short name, its other widths in proportion."""
    sizes = (data.num_tokens, data.num_outputs)
    if kind == "bag":
        return gd.models.BagOfEmbeddings(*sizes, width=width, dropout=0.2, word_dropout=word_dropout)
    if kind == "rnn":
        return gd.models.RecurrentClassifier(*sizes, embedding=width, hidden=width, dropout=0.3, pooling="max")
    if kind == "cnn":
        return gd.models.TextCNN(*sizes, width=width, channels=width, dropout=0.5)
    return gd.models.TextTransformer(*sizes, width=width, heads=4, layers=2, dropout=0.2, max_length=max_length)
