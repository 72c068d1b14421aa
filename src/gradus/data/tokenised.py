"""Texts tokenised once: what takes long is done by several processes and kept as a memory map, for the next start."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradus.data import columns as kinds
from gradus.data import text_store
from gradus.data.cache import cache_directory
from gradus.data.part import held
from gradus.data.processes import bar_of_bytes, in_order
from gradus.data.ragged import Ragged
from gradus.data.text_store import Done, Store, dtype_of
from gradus.data.tokens import Tokens
from gradus.data.workers import cores
from gradus.errors import UserError

VERSION = 1  # of the ids that a vocabulary gives; a new one makes old caches be left
SMALL = 4_000_000  # characters that are tokenised here in about the time that it takes to begin other processes
CHUNK = 1_000_000  # characters that a process tokenises at a time
KEPT = 6  # vocabularies by which one set of texts is kept tokenised, the newest


def tokenised(column: Tokens, texts: np.ndarray, fingerprint: str, *, workers: int | None = None) -> Ragged:
    """The ids of these texts, (rows,), by a vocabulary: of many from the cache, else made now and kept there.

    Args:
        fingerprint: a hash of the texts; with the vocabulary the key of what is kept.
        workers: processes that tokenise; None takes one a processor, 0 does it here. The ids are the same.

    Raises:
        UserError: for a full disk, or a process that died.
    """
    ends = np.cumsum([len(text) for text in texts.tolist()], dtype=np.int64)
    if len(ends) == 0 or ends[-1] < SMALL:
        return column.ragged(texts.tolist())
    kept = cache_directory() / "texts"
    what = repr((VERSION, CHUNK, fingerprint, len(texts), int(ends[-1]), kinds.to_json(column)))
    key = hashlib.sha256(what.encode()).hexdigest()
    family = hashlib.sha256(f"{fingerprint} {column.name}".encode()).hexdigest()[:16]
    place = kept / f"{family}-{key[:32]}"
    try:
        found = text_store.read(place, key)
        if found is None:
            kept.mkdir(parents=True, exist_ok=True)
            with held(place.with_name(f"{place.name}.lock"), lambda: None):
                if text_store.read(place, key) is None:  # no other process was faster
                    _build(place, key, _Work(column, texts), ends, cores() if workers is None else workers)
            found = text_store.read(place, key)
            assert found is not None
        with contextlib.suppress(OSError):  # a cache that can only be read
            os.utime(place)
        _sweep(kept, family)
    except OSError as error:
        raise UserError(
            f"{kept}: the tokens of the texts can't be kept there: {error.strerror}. Make room, or name another "
            "directory in GRADUS_CACHE."
        ) from None
    return Ragged(found.flat, found.starts)


@dataclass(frozen=True)
class _Work:
    """What a process needs to tokenise any of the texts."""

    column: Tokens
    texts: np.ndarray

    def run(self, rows: range) -> Done:
        found = self.column.ragged(self.texts[rows.start : rows.stop].tolist())
        tokens, none = found.flat.astype(dtype_of(self.column)), np.empty(0, np.int8)
        return Done(tokens, found.lengths, none, b"", {})


def _build(place: Path, key: str, work: _Work, ends: np.ndarray, workers: int) -> None:
    """Tokenise all texts into a new directory, and give it its place."""
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(CHUNK, ends[-1], CHUNK)), len(ends)]).tolist()
    parts = [range(begin, end) for begin, end in itertools.pairwise(cuts)]
    partial = place.with_name(f"{place.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        answers = contextlib.closing(in_order(work.run, parts, workers, name="the texts"))
        bar = bar_of_bytes("tokenising", int(ends[-1]))
        with Store(partial, lines=True) as store, bar as has, answers as found:
            for rows, done in zip(parts, found, strict=True):
                store.append(done, 0)
                has(int(ends[rows.stop - 1] - (ends[rows.start - 1] if rows.start else 0)))
            store.finish(key, work.column, {})
        text_store.place_whole(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sweep(kept: Path, family: str) -> None:
    """Remove the tokens of one set of texts by vocabularies of long ago."""
    found = [(path.stat().st_mtime, path) for path in kept.glob(f"{family}-*") if path.is_dir() and not path.suffix]
    for _, path in sorted(found, reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
