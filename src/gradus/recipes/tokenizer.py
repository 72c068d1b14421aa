"""Rung 30: what a language model reads: a vocabulary of pieces of words, made of the text that it is to learn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradus as gd
from gradus.recipes.rung import rung


@rung(
    30,
    data="built in: Python's documentation; --data",
    model="byte-level BPE",
    target="≥ 3 bytes a token on text it never saw",
    seconds=8,
    loop=False,
)
def tokenizer(
    *,
    data: str | None = None,
    field: str | None = None,
    size: int | None = None,
    out: str | None = None,
    resume: str = "never",
    **settings: Any,
) -> gd.Run:
    """Make the vocabulary of a language model: pieces of words, found in your own text in English, Chinese or code.

    Settings:
        data: a file or folder of text, code, Markdown, JSONL or Parquet, instead of Python's documentation
        field: the name of the text in JSONL and Parquet [text, content or messages]
        size: tokens of the vocabulary [3 · √bytes of the text as a power of two, from 512 to 32,768]
        out: directory of the run [runs/RECIPE-DATE-TIME]
        resume: auto opens the run in --out where there is one; never begins a new one
    """
    from gradus.data.text_sample import size_for
    from gradus.data.vocabulary import measure, sampled
    from gradus.experiment import recipe_now
    from gradus.reports.terminal import conclude
    from gradus.training.rundir import is_run
    from gradus.training.vocabulary_run import write_run

    if resume != "never" and is_run(out):  # it is made in one go: there is nothing to go on with
        return gd.Run(str(out), opened=resume == "open")
    begun = time.monotonic()

    # 1 data: a sample of the text, and the end of it to measure on
    source = data if data is not None else gd.data.python_docs()
    text = sampled(source, field)
    chosen = size or size_for(text.trained)

    # 2 model, 3 objective, 4 loop: the pair of pieces that comes most often becomes a piece, again and again
    learning = time.monotonic()
    tokens = gd.data.Tokens.fit("text", text.train, "chat", size=chosen)
    seconds = {"train": time.monotonic() - learning}

    measuring = time.monotonic()
    found = measure(tokens, text.held)
    seconds["test"] = time.monotonic() - measuring
    reason = "asked for" if size else f"3 · √{text.trained:,} bytes, as a power of two"
    if tokens.size < chosen:
        reason += f"; the text gives no more than {tokens.size:,}"
    about = {
        "description": f"{Path(source).name}: {text.size / 1e6:.3g} MB of text in {_files(text.files)}",
        "notes": list(text.notes),
        "trained": text.trained,
    }
    seconds["total"] = time.monotonic() - begun
    run = write_run(tokens, found, about, {"value": tokens.size, "reason": reason}, seconds, out, recipe_now())
    if not settings.get("quiet"):
        conclude(run)
    return run


def _files(count: int) -> str:
    return "one file" if count == 1 else f"{count:,} files"
