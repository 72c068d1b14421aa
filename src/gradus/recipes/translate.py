"""Rung 18: from English to French, or between any two columns of texts: encoder, decoder, attention, beam search."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(18, data="eng_fra/ or download; --data", model="LSTM with attention", target="BLEU ≥ 33", seconds=550)
def translate(
    *,
    data: str | None = None,
    columns: tuple[str, ...] = (),
    reverse: bool = False,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    normalise: Literal["NFC", "NFD", "NFKC", "NFKD", "none"] = "NFC",
    model: Literal["lstm", "transformer"] = "lstm",
    tokens: Literal["bpe", "words", "characters"] = "bpe",
    vocabulary: int | None = 4000,
    max_length: int = 100,
    width: int = 256,
    layers: int = 2,
    dropout: float = 0.3,
    label_smoothing: float = 0.1,
    epochs: int = 16,
    batch_size: int = 64,
    lr: float | str = 2e-3,
    schedule: str = "cosine",
    warmup: float = 0.1,
    clip: float | None = 1.0,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Translate short sentences; no sentence is both learnt from and measured.

    Settings:
        data: pairs of texts of your own: two columns of a TSV, CSV, JSON lines or Parquet file
        columns: the two columns, given twice, where there are more
        reverse: from the second column to the first
        header: whether the first row names the columns [decided by looking]
        separator: what stands between two fields [decided by looking]
        encoding: of the file [UTF-8, or what its first bytes tell]
        normalise: the Unicode form that texts are brought to
        model: lstm (with attention) or transformer
        tokens: what either side is cut into
        vocabulary: the most tokens that either side may have
        max_length: tokens that a longer text is cut to
        width: numbers that stand for a token, and the width of the memory
        layers: how many stand one upon the other, on either side
        dropout: share of what goes from layer to layer that is dropped in training
        label_smoothing: share of each target that is spread over the whole vocabulary
    """
    # 1 data: a vocabulary of pieces of words for either side; pairs of like lengths share a batch
    options: dict[str, Any] = dict(tokens=tokens, size=vocabulary, max_length=max_length, seed=seed)
    if data is None or gd.data.is_set("eng_fra", data):
        sentences = gd.data.eng_fra(data, reverse=reverse, **options)
    else:
        sentences = gd.data.pairs(
            data, columns=columns, reverse=reverse, header=header, separator=separator, encoding=encoding,
            normalise=normalise, **options,
        )  # fmt: skip

    # 2 model: one half reads, the other writes and looks back at what was read
    sizes = (sentences.num_tokens, sentences.num_outputs)
    network: Any
    if model == "lstm":
        network = gd.models.LSTMTranslator(*sizes, width=width, layers=layers, dropout=dropout)
    else:
        network = gd.models.TransformerTranslator(
            *sizes, width=width, heads=4, layers=layers, dropout=dropout, max_length=max_length
        )

    # 3 objective: each next token; BLEU and chrF of what a beam of five writes
    task = gd.tasks.for_target(sentences, label_smoothing=label_smoothing)

    # 4 loop
    return gd.train(
        network, sentences, task, epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, warmup=warmup,
        clip=clip, seed=seed, **settings,
    )  # fmt: skip
