"""Texts as datasets, tokenised with a vocabulary of the training rows: what a recipe calls.

``texts`` (a label each), ``pairs`` (another text each), ``lines`` (what comes next), ``tagged`` (a label a token).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gradus.data import text_sets
from gradus.data.columns import Raw, Target
from gradus.data.encoder import Encoder
from gradus.data.sequences import TextClasses, TextDataset, TextLines, TextPairs, TextTags
from gradus.data.splits import Splits
from gradus.data.text_splits import split_by_group
from gradus.data.texts import TextRows, read_labelled, read_lines, read_pairs
from gradus.data.tokens import Tokens
from gradus.errors import UserError

D = TypeVar("D", bound=TextDataset)
Share = float | str | Path
"""A share of the rows, or a file of its own."""


def texts(
    source: Any,
    *,
    tokens: str = "words",
    size: int | None = None,
    min_count: int = 1,
    lower: bool = False,
    max_length: int = 256,
    valid: Share = 0.1,
    test: Share = 0.2,
    seed: int = 0,
    name: str | None = None,
    **reading: Any,
) -> TextClasses:
    """Texts with a label each: batches of ids (batch, time) and classes (batch,).

    Args:
        source: rows that were read already, or whatever ``read_labelled`` reads.
        tokens: characters, words or bpe.
        size, min_count: of the vocabulary: the most tokens, and how often one must occur in the training rows.
        lower: whether letters are lower-cased.
        max_length: tokens that a longer text is cut to.
        valid, test: shares of the rows that no file of its own gives, or such a file. Equal texts are on one side.
        reading: further arguments of ``read_labelled``: ``text="review", target="grade", …``.

    Raises:
        UserError: for whatever cannot be read, or a vocabulary that there isn't.
    """
    rows = source if isinstance(source, TextRows) else read_labelled(source, **_files(valid, test), **reading)
    assert rows.targets is not None
    labels, classes = np.unique(rows.targets.astype(str), return_inverse=True)
    splits = _splits(rows, rows.columns["text"], valid, test, seed)
    told = tuple(_in_order(labels.tolist()))
    classes = np.array([told.index(label) for label in labels.tolist()])[classes].astype(np.int64)
    absent = sorted({told[c] for c in np.unique(classes)} - {told[c] for c in np.unique(classes[splits["train"]])})
    if absent:
        raise UserError(
            f"{_named(rows, name)}: no training row has the label '{absent[0]}'"
            + (f" or {len(absent) - 1} others" if len(absent) > 1 else "")
            + "; give more rows, smaller valid and test shares, or leave the label out."
        )
    goal = Target("label", told, reason=f"{len(told)} different labels")
    vocabulary = partial(_vocabulary, tokens, size=size, min_count=min_count, lower=lower, max_length=max_length)

    def fit(raw: Raw, train: np.ndarray) -> Encoder:
        return Encoder((vocabulary("text", raw["text"][train]),), goal)

    raw = {"text": rows.columns["text"]}
    return _told(TextClasses(_named(rows, name), raw, classes, fit, splits, **_of(rows)), max_length)


def pairs(
    source: Any,
    *,
    tokens: str = "bpe",
    size: int | None = None,
    min_count: int = 1,
    lower: bool = False,
    max_length: int = 128,
    valid: Share = 0.05,
    test: Share = 0.1,
    seed: int = 0,
    name: str | None = None,
    **reading: Any,
) -> TextPairs:
    """Texts with another text each: batches of ids of both, a vocabulary a side.

    Args:
        source: rows that were read already, or whatever ``read_pairs`` reads.
        size: the most tokens of each side's vocabulary; of bpe, None lets it grow with the text, to 8,000 at most.
        valid, test: shares of the sources that no file of its own gives, or such a file. Equal sources are on one
            side whatever their case, so that no sentence is trained on and measured.
        tokens, min_count, lower, max_length: as of ``texts``.
        reading: further arguments of ``read_pairs``: ``columns=("en", "fr"), reverse=True, …``.
    """
    rows = source if isinstance(source, TextRows) else read_pairs(source, **_files(valid, test), **reading)
    keys = np.array([text.lower() for text in rows.columns["source"]], dtype=object)
    splits = _splits(rows, keys, valid, test, seed)
    size = size or (_bpe_size(rows.columns, splits["train"]) if tokens == "bpe" else None)
    vocabulary = partial(_vocabulary, tokens, size=size, min_count=min_count, lower=lower, max_length=max_length)

    def fit(raw: Raw, train: np.ndarray) -> Encoder:
        source = vocabulary("source", raw["source"][train], end=True)
        return Encoder((source,), Target("target"), vocabulary("target", raw["target"][train], begin=True, end=True))

    return _told(TextPairs(_named(rows, name), dict(rows.columns), fit, splits, **_of(rows)), max_length)


def lines(
    source: Any,
    *,
    tokens: str = "characters",
    size: int | None = None,
    min_count: int = 1,
    max_length: int = 512,
    valid: Share = 0.05,
    test: Share = 0.1,
    seed: int = 0,
    name: str | None = None,
    **reading: Any,
) -> TextLines:
    """Texts to be gone on with: batches of ids and of the same ids one further on.

    Args:
        source: rows that were read already, or whatever ``read_lines`` reads.
        valid, test: shares of the texts that no file of its own gives, or such a file. Equal texts are on one side.
        tokens, size, min_count, max_length: as of ``texts``.
        reading: further arguments of ``read_lines``.
    """
    rows = source if isinstance(source, TextRows) else read_lines(source, **_files(valid, test), **reading)
    splits = _splits(rows, rows.columns["text"], valid, test, seed)
    vocabulary = partial(_vocabulary, tokens, size=size, min_count=min_count, max_length=max_length)

    def fit(raw: Raw, train: np.ndarray) -> Encoder:
        return Encoder((vocabulary("text", raw["text"][train], begin=True, end=True),), Target("text"))

    raw = {"text": rows.columns["text"]}
    return _told(TextLines(_named(rows, name), raw, fit, splits, **_of(rows)), max_length)


def tagged(sources: Sequence[str], labels: Sequence[str], *, tokens: str = "characters", name: str) -> TextTags:
    """Texts with a label a token, all of them to train on.

    Args:
        sources: the texts.
        labels: for each text its labels, as a text that is tokenised alike.
    """
    raw = {"text": np.array(sources, dtype=object), "labels": np.array(labels, dtype=object)}

    def fit(raw: Raw, train: np.ndarray) -> Encoder:
        read, said = (Tokens.fit(column, raw[column][train], tokens) for column in ("text", "labels"))
        return Encoder((read,), Target("labels"), said)

    none = np.empty(0, dtype=np.int64)
    return TextTags(name, raw, fit, {"train": np.arange(len(raw["text"])), "valid": none, "test": none})


def names(path: str | Path | None = None, *, leave_out: Sequence[str] = (), **options: Any) -> TextClasses:
    """Surnames and the languages that they come from, by character; as ``text_sets.names`` and ``texts``."""
    return texts(text_sets.names(path, leave_out=leave_out), **{"tokens": "characters", "name": "names", **options})


def ag_news(path: str | Path | None = None, **options: Any) -> TextClasses:
    """AG News, by word; ``path`` as of ``text_sets.ag_news``, options as of ``texts``."""
    return texts(text_sets.ag_news(path), **{"lower": True, "name": "ag_news", **options})


def eng_fra(path: str | Path | None = None, *, reverse: bool = False, **options: Any) -> TextPairs:
    """English sentences and their French translations, by BPE; ``path`` as of ``text_sets.eng_fra``."""
    return pairs(text_sets.eng_fra(path, reverse=reverse), **{"name": "eng_fra", **options})


def poems(path: str | Path | None = None, **options: Any) -> TextLines:
    """Chinese quatrains without their titles, by character; ``path`` as of ``text_sets.poems``."""
    return lines(text_sets.poems(path), **{"name": "poems", **options})


def _vocabulary(tokens: str, name: str, texts: np.ndarray, **options: Any) -> Tokens:
    return Tokens.fit(name, texts, tokens, **options)


def _files(valid: Share, test: Share) -> dict[str, Any]:
    """What of the two is a file of its own."""
    return {k: v for k, v in (("valid", valid), ("test", test)) if not isinstance(v, float | int)}


def _splits(rows: TextRows, keys: np.ndarray, valid: Share, test: Share, seed: int) -> Splits:
    """Rows of one key on one side, labels in the same proportion."""
    shares = [float(v) if isinstance(v, float | int) else 0.0 for v in (valid, test)]
    return split_by_group(keys, rows.parts, labels=rows.targets, valid=shares[0], test=shares[1], seed=seed)


def _bpe_size(columns: Raw, train: np.ndarray) -> int:
    """A piece for every hundred characters or so: of little text few pieces, each of which is met often."""
    characters = sum(len(text) for text in columns["target"][train].tolist())
    return int(np.clip(characters // 200, 1_000, 8_000))


def _in_order(labels: list[str]) -> list[str]:
    """Labels that are numbers in their order, all else as text."""
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)


def _named(rows: TextRows, name: str | None) -> str:
    return name or rows.table.source


def _of(rows: TextRows) -> dict[str, Any]:
    return {"notes": rows.notes, "fingerprint": rows.fingerprint}


def _told(data: D, max_length: int) -> D:
    """The dataset, with a note where texts were cut."""
    long = int((data.source.lengths >= max_length).sum())
    if long:
        data.notes = (*data.notes, f"{long:,} texts of {max_length:,} tokens or more were cut there [--max-length]")
    return data
