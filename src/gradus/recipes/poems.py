"""Rung 19: a language model of lines of text, character by character: classical Chinese quatrains, or one's own."""

from __future__ import annotations

from typing import Any, Literal

import gradus as gd
from gradus.recipes.rung import rung


@rung(19, data="poems/ or download; --data", model="GRU, GPT", target="bits a character below a 5-gram's", seconds=160)
def poems(
    *,
    data: str | None = None,
    blocks: bool = False,
    encoding: str | None = None,
    normalise: Literal["NFC", "NFD", "NFKC", "NFKD", "none"] = "NFC",
    leave_out: tuple[str, ...] = (),
    model: Literal["gru", "lstm", "gpt"] = "gru",
    tokens: Literal["characters", "bpe", "words"] = "characters",
    vocabulary: int | None = None,
    min_count: int = 2,
    max_length: int = 256,
    width: int = 192,
    hidden: int = 256,
    layers: int = 1,
    dropout: float = 0.3,
    epochs: int = 8,
    batch_size: int = 64,
    lr: float | str = 3e-3,
    schedule: str = "cosine",
    warmup: float = 0.1,
    clip: float | None = 1.0,
    seed: int = 0,
    **settings: Any,
) -> gd.Run:
    """Learn what comes next in lines of text, and write lines like them; a 5-gram model is measured beside it.

    Settings:
        data: a file with a text a line, instead of the poems
        blocks: read all lines as one long text, in pieces of max_length tokens: for prose, and for files of any size
        encoding: of the file [UTF-8, or what its first bytes tell]
        normalise: the Unicode form that texts are brought to
        leave_out: a line that is no sample; may be repeated
        model: gru, lstm or gpt (a small Transformer)
        tokens: what a text is cut into
        vocabulary: the most tokens that it may have [as many as there are]
        min_count: how often a character or word must occur to be known
        max_length: tokens that a longer text is cut to
        width: numbers that stand for a token
        hidden: width of the memory of gru and lstm
        layers: how many stand one upon the other
        dropout: share of what goes from layer to layer that is dropped in training
    """
    # 1 data: each line a text; equal lines are on one side of the split. Or all of them one, its end kept for the test
    options: dict[str, Any] = dict(tokens=tokens, size=vocabulary, min_count=min_count)
    options |= dict(max_length=max_length, seed=seed)
    lines: gd.data.TextLines
    if blocks:
        lines = gd.data.corpus(_given(data), tokens=tokens, size=vocabulary, length=max_length, seed=seed)
    elif data is None or gd.data.is_set("poems", data):
        lines = gd.data.poems(data, **options)
    else:
        lines = gd.data.lines(data, encoding=encoding, normalise=normalise, leave_out=leave_out, **options)

    # 2 model
    network: Any
    if model == "gpt":
        network = gd.models.GPT(
            lines.num_tokens, width=width, heads=4, layers=layers, dropout=dropout, max_length=max_length
        )
    else:
        network = gd.models.CharacterModel(
            lines.num_tokens, width=width, hidden=hidden, layers=layers, cell=model, dropout=dropout
        )

    # 3 objective: each next token
    task = gd.tasks.for_target(lines)

    # 4 loop
    return gd.train(
        network, lines, task, epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, warmup=warmup,
        clip=clip, seed=seed, **settings,
    )  # fmt: skip


def _given(data: str | None) -> str:
    if data is None:
        raise gd.UserError("poems: --blocks is for a text of your own: name it with --data FILE.")
    return data
