"""A prepared text on the disk: flat files of tokens and rows, appended to piece by piece, whole or gone on with.

What is done is in the files before the journal tells of it, and the manifest comes last. So a process that was killed
at any instant is gone on with after the last piece that the journal has, and ends in the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from gradus.data import columns as kinds
from gradus.data.tokens import Tokens

SPLITS = ("train", "valid", "test")
SYNC_SECONDS = 1.0  # of work that a crash may cost, beside the piece under way


@dataclass(frozen=True)
class Prepared:
    """A prepared text.

    Attributes:
        column: the vocabulary.
        flat: all token ids end to end, uint16 or int32, a memory map.
        starts: of lines, where each begins, int64 (rows + 1,), a memory map; of a running text empty.
        splits: of lines, the row numbers by split, memory maps; of a running text all empty.
        tokens: how many tokens the text of each split has; in a running text they are one after the other.
        fingerprint: a hash of the text.
        told: what is worth telling, by name.
    """

    column: Tokens
    flat: np.ndarray
    starts: np.ndarray
    splits: dict[str, np.ndarray]
    tokens: tuple[int, ...]
    fingerprint: str
    told: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A piece as tokens, (tokens,); of lines the length of each row and its split (0, 1 or 2), (rows,); a hash."""

    tokens: np.ndarray
    lengths: np.ndarray
    splits: np.ndarray
    digest: bytes
    counts: dict[str, int]


def dtype_of(column: Tokens) -> np.dtype[Any]:
    """What the ids of a vocabulary are kept as."""
    return np.dtype(np.uint16 if column.size <= 1 << 16 else np.int32)


def read(place: Path, key: str) -> Prepared | None:
    """The prepared text in a directory, where it is the one of this key and whole."""
    try:
        manifest = json.loads((place / "manifest.json").read_text())
        whole = all((place / name).stat().st_size == size for name, size in manifest["sizes"].items())
        if manifest["key"] != key or not whole:
            return None
        column = kinds.from_json(json.loads((place / "column.json").read_text()))
    except (OSError, ValueError):
        return None
    assert isinstance(column, Tokens)
    return Prepared(
        column,
        _map(place / "tokens", dtype_of(column)),
        _map(place / "starts", np.dtype(np.int64)),
        {split: _map(place / split, np.dtype(np.int64)) for split in SPLITS},
        tuple(manifest["tokens"]),
        manifest["fingerprint"],
        manifest["told"],
    )


def write(path: Path, content: str) -> None:
    """A small file, whole or not at all."""
    partial = path.with_name(f"{path.name}.new")
    with partial.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def place_whole(partial: Path, place: Path) -> None:
    """Give a whole text its place, without what was needed on the way; what lay there before is of another text."""
    kept = {*json.loads((partial / "manifest.json").read_text())["sizes"], "column.json", "manifest.json"}
    for path in partial.iterdir():
        if path.name not in kept:
            path.unlink()
    if place.exists():
        old = place.with_name(f"{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    partial.rename(place)


class Store:
    """The files of a text that is being prepared, cut back to what their journal tells.

    Args:
        lines: whether the text's lines are rows.
    """

    def __init__(self, directory: Path, *, lines: bool) -> None:
        self.directory = directory
        self.pieces, self.tokens, self.counts, self.digest = 0, [0, 0, 0], Counter[str](), ""
        sizes = dict.fromkeys(("tokens", "starts", *SPLITS), 0)
        journal = directory / "journal"
        entries = [entry for entry in _whole_lines(journal) if self._has(entry["sizes"])]
        if entries:
            sizes, self.pieces, self.tokens = entries[-1]["sizes"], entries[-1]["pieces"], entries[-1]["tokens"]
            self.counts, self.digest = Counter(entries[-1]["counts"]), entries[-1]["digest"]
        write(journal, "".join(json.dumps(entry) + "\n" for entry in entries[-1:]))
        self.journal = journal.open("a")
        self.files = {name: (directory / name).open("ab") for name in sizes}
        for name, size in sizes.items():
            self.files[name].truncate(size)
        if lines and sizes["starts"] == 0:
            self.files["starts"].write(np.zeros(1, np.int64).data)
        self.rows = max(sizes["starts"] // 8 - 1, 0)
        self.synced = time.monotonic()

    def _has(self, sizes: dict[str, int]) -> bool:
        there = {name: self.directory / name for name in sizes}
        return all(path.exists() and path.stat().st_size >= sizes[name] for name, path in there.items())

    def append(self, done: Done, split: int) -> None:
        """Add the next piece, which is of this split where the text runs on.

        Raises:
            OSError: where the disk is full.
        """
        self.files["tokens"].write(done.tokens.data)
        if len(done.lengths):
            self.files["starts"].write((sum(self.tokens) + np.cumsum(done.lengths)).data)
            for number, name in enumerate(SPLITS):
                self.files[name].write((self.rows + np.flatnonzero(done.splits == number)).data)
            self.rows += len(done.lengths)
        self.tokens[split] += len(done.tokens)
        self.pieces += 1
        self.counts.update(done.counts)
        self.digest = hashlib.sha256(self.digest.encode() + done.digest).hexdigest()
        if time.monotonic() - self.synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> dict[str, Any]:
        """Have all that was appended on the disk, then tell of it in the journal."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        entry = {
            "sizes": {name: file.tell() for name, file in self.files.items()},
            "pieces": self.pieces,
            "tokens": self.tokens,
            "counts": self.counts,
            "digest": self.digest,
        }
        self.journal.write(json.dumps(entry) + "\n")
        self.journal.flush()
        os.fsync(self.journal.fileno())
        self.synced = time.monotonic()
        return entry

    def finish(self, key: str, column: Tokens, told: dict[str, Any]) -> None:
        """The text is whole: write the manifest."""
        entry = self.sync()
        write(self.directory / "column.json", json.dumps(kinds.to_json(column)))
        manifest = {
            "key": key,
            "sizes": entry["sizes"],
            "tokens": self.tokens,
            "fingerprint": self.digest,
            "told": {**told, **self.counts, "rows": self.rows},
        }
        write(self.directory / "manifest.json", json.dumps(manifest))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.journal, *self.files.values()):
            with contextlib.suppress(OSError):  # a full disk refuses what is left once more
                file.close()


def _whole_lines(journal: Path) -> list[dict[str, Any]]:
    """The entries of a journal, without a last one that was cut off."""
    try:
        lines = journal.read_text().splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):
        return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def _map(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="c"))  # "c": torch wants memory it may write
