"""A big text tokenised once into the user's cache: by several processes, in bounded memory, resumable.

The text is read in pieces (``text_files.py``), each is tokenised for itself, and what comes of it is appended to flat
files in the order of the text (``text_store.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from gradus.data import columns as kinds
from gradus.data import text_files, text_store
from gradus.data.cache import cache_directory
from gradus.data.documents import MARK
from gradus.data.order import mix
from gradus.data.part import held
from gradus.data.processes import bar_of_bytes, in_order
from gradus.data.text_files import Piece, TextFile, find_texts, pieces_of, texts_of
from gradus.data.text_sample import SAMPLES, Fit, rows_of
from gradus.data.text_store import Done, Prepared, Store, dtype_of
from gradus.data.tokens import UNK, Tokens
from gradus.errors import UserError

VERSION = 1  # of what preparing gives; a new one makes old caches be left
SHARE, HELD_OUT = 0.05, 1_000_000  # validation and test each: of the text, but so many bytes at most
_LINES = 0x11E5  # what chance is for: keeps its streams apart


@dataclass(frozen=True)
class Asked:
    """How a text is to be prepared.

    Attributes:
        tokens, size: the tokenizer, and the most tokens that its vocabulary has.
        lines: whether each line is a row; else the text runs on, and its end is for validation and test.
        max_length: of lines, the tokens that a longer one is cut to.
        valid, test: shares of the text; None takes ``SHARE``, but ``HELD_OUT`` at most.
        seed: the key of the split of a line, together with the line.
        field: the name of the text in JSON lines and tables; None finds it.
        exact: whether a running text's shares end at the very character, rather than at a line's end near it.
    """

    tokens: str
    size: int | None
    lines: bool
    max_length: int | None
    valid: float | None
    test: float | None
    seed: int
    field: str | None = dataclasses.field(default=None, repr=False)  # fingerprints are of what is shown
    exact: bool = dataclasses.field(default=False, repr=False)

    @property
    def more(self) -> tuple[object, ...]:
        """What isn't shown and isn't as usual."""
        return (self.field, self.exact) if self.field is not None or self.exact else ()


def prepared(source: str | Path, asked: Asked, column: Tokens | None, workers: int) -> Prepared:
    """The text as tokens: from the cache, else made now.

    Args:
        column: a vocabulary to take; None fits one on a sample of the training text.
        workers: processes that tokenise; 0 does it here. The bytes are the same.

    Raises:
        UserError: for a text that can't be read or is changed meanwhile, a process that died, or a full disk.
    """
    left_out: list[Path] = []
    files = find_texts(source, left_out)
    about = (str(Path(source).resolve()), asked, None if column is None else kinds.to_json(column), *asked.more)
    place = cache_directory() / "corpora" / hashlib.sha256(repr(about).encode()).hexdigest()[:32]
    what = (VERSION, text_files.PIECE, SAMPLES[asked.tokens], SHARE, HELD_OUT, text_files.key_of(files))
    key = hashlib.sha256(repr(what).encode()).hexdigest()
    found = text_store.read(place, key)
    if found is not None:
        return found
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with held(place.with_name(f"{place.name}.lock"), lambda: _waiting(source)):
            if text_store.read(place, key) is None:  # no other process was faster
                partial = place.with_name(f"{place.name}.part")
                if text_store.read(partial, key) is None:
                    _build(partial, key, files, asked, column, workers, str(source), left_out)
                text_store.place_whole(partial, place)
    except OSError as error:
        raise UserError(
            f"{place.parent}: the tokens of {source} can't be kept there: {error.strerror}. Make room, or name another "
            "directory in GRADUS_CACHE; what is done is kept, and gone on with."
        ) from None
    found = text_store.read(place, key)
    assert found is not None
    return found


def _build(
    partial: Path,
    key: str,
    files: list[TextFile],
    asked: Asked,
    column: Tokens | None,
    workers: int,
    name: str,
    left_out: Sequence[Path],
) -> None:
    """Prepare a text into a directory, or go on where an earlier process was stopped."""
    if not (partial / "key").exists() or (partial / "key").read_text() != key:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        text_store.write(partial / "key", key)
    plain = unpacked(files, partial, asked.field)
    total = sum(file.size for file in plain)
    usual = min(SHARE, HELD_OUT / max(total, 1))
    valid, test = (usual if share is None else share for share in (asked.valid, asked.test))
    lines = Lines(asked.seed, valid, test) if asked.lines else None
    at_end: dict[str, Any] = {} if asked.lines else {"valid": valid, "test": test, "exact": asked.exact}
    kind = asked.tokens if column is None else column.tokenizer
    after = kind in ("chat", "imported")  # they join a sign with the line's end after it
    pieces = pieces_of(plain, lines=asked.lines, after=after, **at_end)
    if column is None:
        column = _vocabulary(partial, plain, pieces, asked, lines, workers, name)
    work = _Work(tuple(plain), column if asked.lines else replace(column, end=True), lines)
    with Store(partial, lines=asked.lines) as store:
        left = pieces[store.pieces :]
        answers = contextlib.closing(in_order(work.run, left, workers, name=name))
        with bar_of_bytes("tokenising", total) as has, answers as found:
            has(total - sum(piece.size for piece in left))
            for piece, done in zip(left, found, strict=True):
                store.append(done, piece.split)
                has(piece.size)
        text_files.check_unchanged(files)
        told = {"left_out": len(left_out), "some": [path.name for path in left_out[:3]]} if left_out else {}
        store.finish(key, column, {"bytes": total, "valid": valid, "test": test, **told})


def unpacked(files: Sequence[TextFile], directory: Path, field: str | None) -> list[TextFile]:
    """The files, those that aren't plain text made such in a directory; ``field`` is the text's name in them."""
    packed = [file for file in files if file.packed]
    if not packed:
        return list(files)
    with bar_of_bytes("unpacking", sum(file.size for file in packed)) as has:
        return [
            text_files.unpack(file, directory / f"text-{number}", has, field) if file.packed else file
            for number, file in enumerate(files)
        ]


@dataclass(frozen=True)
class Lines:
    """Which split a line is in, a function of its text and the seed: equal lines are on one side."""

    seed: int
    valid: float
    test: float

    def splits(self, lines: Sequence[str]) -> np.ndarray:
        """0 for training, 1 for validation, 2 for test, (lines,), by CRC-32 and SplitMix64."""
        state = np.array([zlib.crc32(line.encode()) for line in lines], dtype=np.uint64)
        state += np.uint64(mix(self.seed, _LINES))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        chance = ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
        return (chance < self.valid + self.test).astype(np.int8) + (chance < self.test)


@dataclass(frozen=True)
class _Work:
    """What a process needs to tokenise any piece; the vocabulary of a running text ends each document."""

    files: tuple[TextFile, ...]
    column: Tokens
    lines: Lines | None

    def run(self, piece: Piece) -> Done:
        texts, digest = texts_of(self.files, piece)
        lengths, splits, counts = np.empty(0, np.int64), np.empty(0, np.int8), {}
        if self.lines is None:
            parts = [np.empty(0, np.int32)]
            for span, text in zip(piece.spans, texts, strict=True):
                found = self.column.ragged(text.split(MARK)).flat
                parts.append(found if span.last else found[:-1])  # the last document goes on in the next piece
            tokens = np.concatenate(parts)
        else:
            rows = rows_of(texts)
            told = self.column.ragged(rows)
            tokens, lengths, splits = told.flat, told.lengths, self.lines.splits(rows)
            most = self.column.max_length
            counts["cut"] = 0 if most is None else int((lengths >= most).sum())
        counts["unknown"] = 0 if self.column.bpe else int((tokens == UNK).sum())
        return Done(tokens.astype(dtype_of(self.column)), lengths, splits, digest, counts)


def _vocabulary(
    directory: Path,
    files: list[TextFile],
    pieces: list[Piece],
    asked: Asked,
    lines: Lines | None,
    workers: int,
    name: str,
) -> Tokens:
    """A vocabulary of a sample of the training text; it is kept, so that who goes on has the same."""
    kept = directory / "column.json"
    if not kept.exists():
        fit = Fit(tuple(files), asked, lines)
        train = [piece for piece in pieces if piece.split == 0]
        # in a process of its own where there are any: the memory that it takes is given back with its end
        with bar_of_bytes("vocabulary", None):
            fitted = next(in_order(fit.run, [train], min(workers, 1), name=name))
        text_store.write(kept, json.dumps(kinds.to_json(fitted)))
    column = kinds.from_json(json.loads(kept.read_text()))
    assert isinstance(column, Tokens)
    return column


def _waiting(source: str | Path) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{'':<11}{source}: another process is preparing it; waiting for it to finish"
    )
