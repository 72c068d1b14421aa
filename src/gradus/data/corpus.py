"""A text of any size as a dataset for a language model: prepared once in bounded memory, then read from memory maps."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gradus.data import text_folders
from gradus.data.columns import Target
from gradus.data.encoder import Encoder
from gradus.data.prepare_text import Asked, prepared
from gradus.data.ragged import Ragged
from gradus.data.sequences import TextCorpus
from gradus.data.splits import Splits
from gradus.data.text_sample import SAMPLES
from gradus.data.text_store import Prepared
from gradus.data.tokens import TOKENIZERS, Tokens
from gradus.data.workers import cores
from gradus.errors import UserError, nearest

LENGTHS = {"blocks": 256, "lines": 1_024}


def corpus(
    source: str | Path,
    *,
    tokens: str | Tokens = "bpe",
    size: int | None = None,
    rows: Literal["blocks", "lines"] = "blocks",
    length: int | None = None,
    valid: float | None = None,
    test: float | None = None,
    exact: bool = False,
    field: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    name: str | None = None,
) -> TextCorpus:
    """A text to learn the next token of: batches of ids (batch, time) and of the same ids one further on.

    It is tokenised into the user's cache on the first call, by several processes in less than a gigabyte of memory
    whatever its size; a call that was cut off is gone on with, and every later one finds the tokens there. They take
    two bytes each, four where there are more than 65,536 different ones.

    Args:
        source: a UTF-8 text file, JSON lines, a Parquet table, or a folder whose texts (also those of folders in it)
            are taken by name, whatever they are called; files that are no text are left out, and counted. JSON lines
            and .txt files may be gzipped.
        tokens: characters, words, bpe or chat; or a vocabulary that is there already.
        size: the most tokens of the vocabulary, which is fitted on a sample of the training text; None takes 8,000 of
            bpe, 3 · √bytes of chat (512 to 32,768), 50,000 words, or every character of the sample.
        rows: ``blocks`` cuts the running text into rows of one length, without padding, each document ended by
            ``<eos>``; its end is for validation and test, whose last rows may be shorter; later epochs of training cut
            it at other places. ``lines`` makes each line a
            row of its own, and chance, keyed by seed and line, says which split it is in.
        length: tokens of a row, 256 unless told; of lines those that a longer one is cut to, 1,024 unless told.
        valid, test: shares of the text; None takes a twentieth each, but one megabyte at most.
        exact: of blocks, whether the shares begin at the very character, not at a line's end near it.
        field: the name of the text in JSON lines and tables; None takes text, content, or messages with their roles.
        workers: processes that tokenise; None takes one a processor, 0 does it here. The tokens are the same.

    Raises:
        UserError: for a text that can't be read or changes meanwhile, shares or lengths without sense, a full disk.
    """
    if isinstance(tokens, Tokens):
        if size is not None:
            raise UserError(f"size {size}: the vocabulary is there already, with {tokens.size:,} tokens.")
    elif tokens not in TOKENIZERS:
        raise UserError(f"no tokenizer '{tokens}'.{nearest(tokens, TOKENIZERS)}")
    if rows not in LENGTHS:
        raise UserError(f"no rows of '{rows}'.{nearest(rows, LENGTHS)}")
    most = LENGTHS[rows] if length is None else length
    if most < 3:
        raise UserError(f"length {most}: a row needs three tokens at least.")
    for share in (valid, test):
        if share is not None and not 0 <= share < 1:
            raise UserError(f"valid and test are shares of the text, from 0 up to 1, not {share}.")
    if (valid or 0.0) + (test or 0.0) >= 1:
        raise UserError(f"valid {valid} and test {test} leave no text to train on: together they must be below 1.")
    lines = rows == "lines"
    kind = tokens.tokenizer if isinstance(tokens, Tokens) else tokens
    asked = Asked(kind, size, lines, most if lines else None, valid, test, seed if lines else 0, field, exact)
    processes = cores() if workers is None else workers
    given = None
    if isinstance(tokens, Tokens):
        given = replace(tokens, name="text", begin=lines, end=lines, max_length=asked.max_length)
    fitted = prepared(source, asked, given, processes)

    def read(encoder: Encoder) -> tuple[Ragged, Splits]:
        """The rows by a vocabulary: the fitted one, or that of a run."""
        column = encoder.columns[0]
        assert isinstance(column, Tokens)
        if not lines:
            column = replace(column, begin=False, end=False, max_length=None)
        found = fitted if column == fitted.column else prepared(source, asked, column, processes)
        return (Ragged(found.flat, found.starts), dict(found.splits)) if lines else blocks(found, most)

    what = repr((fitted.fingerprint, asked, most, *asked.more, *([] if given is None else [given])))
    return TextCorpus(
        name or Path(source).name,
        Encoder((fitted.column,), Target("text")),
        read,
        fingerprint=sha256(what.encode()).hexdigest(),
        notes=_notes(fitted, asked, fitted_here=given is None),
        buckets=lines,
    )


def blocks(text: Prepared, length: int) -> tuple[Ragged, Splits]:
    """Rows of one length, each sharing a token with the next, and those of each split.

    What is left at the end of the training text is in no split. That of validation and test is a shorter row, so that
    all of them is foretold but the first token.
    """
    train, valid, test = text.tokens
    rows = max(train - 1, 0) // length
    starts = [np.arange(rows + 1, dtype=np.int64) * length]
    splits: Splits = {"train": np.arange(rows, dtype=np.int64)}
    begin = train
    for name, size in (("valid", valid), ("test", test)):
        inner = np.arange(begin, begin + size - 1, length, dtype=np.int64)
        splits[name] = rows + 1 + np.arange(len(inner), dtype=np.int64)
        if len(inner):  # between the row before and the first of these is one that no split has
            starts += [inner, np.array([begin + size - 1])]
            rows += 1 + len(inner)
        begin += size
    return Ragged(text.flat, np.concatenate(starts), overlap=1), splits


def _notes(text: Prepared, asked: Asked, *, fitted_here: bool) -> tuple[str, ...]:
    told: dict[str, Any] = text.told
    notes = []
    sample = SAMPLES[asked.tokens]
    if fitted_here and told["bytes"] * (1 - told["valid"] - told["test"]) > sample:
        notes.append(f"the vocabulary is that of a sample of {sample / 1e6:.0f} MB of the training text")
    if asked.valid is None or asked.test is None:
        notes.append(
            f"{told['valid']:.2g} of the text is for validation, {told['test']:.2g} for test [--valid, --test]"
        )
    if told.get("left_out"):
        notes.append(text_folders.told(told["left_out"], told["some"]))
    if told.get("cut"):
        notes.append(f"{told['cut']:,} lines of {asked.max_length:,} tokens or more were cut there [--length]")
    if told["unknown"]:
        share = told["unknown"] / max(len(text.flat), 1)
        notes.append(f"{told['unknown']:,} tokens ({share:.2g} of all) are unknown to the vocabulary")
    return tuple(notes)
