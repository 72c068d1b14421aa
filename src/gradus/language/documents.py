"""A folder of documents as an index of passages on disk: kept up to date by content, searched by words and by meaning.

The index is one SQLite file in the user's cache, so that the folder is never written to. Every change is a transaction:
a process that is killed, or another one beside it, leaves it whole.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradus.data.cache import cache_directory
from gradus.data.clean_text import counted
from gradus.errors import UserError
from gradus.language.embeddings import Embedder
from gradus.language.folder import Document, find_documents
from gradus.language.parse import parse
from gradus.language.passages import Cut, cut
from gradus.language.search import by_meaning, by_words, fused
from gradus.language.store import Store
from gradus.language.words import words_of

BATCH, BATCH_SECONDS = 200, 2.0  # documents, and time, after which what was read is written
EMBEDDED = 32  # passages that are embedded at a time, and then written
RACY = 2_000_000_000  # nanoseconds; a file written so shortly before it was read may be written again in the same tick


@dataclass(frozen=True)
class Passage:
    """A piece of a document that may answer a question.

    Attributes:
        file: the document's name, as seen from the folder.
        place: where in it: its headings (``Install › Linux``), ``page 3``, or ``lines 10 to 24``; "" for none.
        text: as it stands there, up to some 200 words.
        score: the share of what the question asks for that stands in the passage, 0 to 1, rare words counting more;
            of one that was found by meaning alone, the cosine of its embedding and the question's.
    """

    file: str
    place: str
    text: str
    score: float

    @property
    def source(self) -> str:
        """File and place, as they are cited: ``guide.md › Install › Linux``."""
        return f"{self.file} › {self.place}" if self.place else self.file


@dataclass
class Update:
    """What an update found. ``str()`` is one line of it.

    Attributes:
        unchanged, changed, new, removed: counts of documents.
        passages: of the whole index.
        faults: a line for each document that can't be read.
        others: how many files of each kind were left aside, as ``.png``.
        rebuilt: why the index was begun anew, "" where it wasn't.
    """

    unchanged: int = 0
    changed: int = 0
    new: int = 0
    removed: int = 0
    passages: int = 0
    faults: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    rebuilt: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        documents = counted(self.unchanged + self.changed + self.new, "document")
        moved = {"new": self.new, "changed": self.changed, "removed": self.removed, "left out": len(self.faults)}
        told = ", ".join(f"{count:,} {word}" for word, count in moved.items() if count) or "nothing changed"
        return f"{documents}, {counted(self.passages, 'passage')} ({told}), {self.seconds:.1f} s"

    def lines(self, most: int = 20) -> list[str]:
        """A line for each document that was left out, ``most`` of them, and one for the files of other kinds."""
        told = self.faults[:most]
        if len(self.faults) > most:
            told.append(f"and {len(self.faults) - most:,} more that can't be read.")
        if self.others:
            kinds = sorted(self.others.items(), key=lambda item: -item[1])
            some = ", ".join(f"{count:,} {kind}" for kind, count in kinds[:5]) + (", …" if len(kinds) > 5 else "")
            told.append(f"{counted(sum(self.others.values()), 'file')} of kinds that hold no text to read: {some}.")
        return told


class Index:
    """The passages of a folder of documents. All methods may be called from several threads and processes at once."""

    def __init__(self, folder: Path, store: Store, embedder: Embedder | None, encoding: str | None) -> None:
        self.folder, self.embedder, self.encoding = folder, embedder, encoding
        self._store = store
        self._updating = threading.Lock()

    @classmethod
    def of(
        cls,
        folder: str | Path,
        *,
        cache: str | Path | None = None,
        embedder: Embedder | None = None,
        encoding: str | None = None,
    ) -> Index:
        """The index of a folder, as it was left; ``update`` makes it that of the folder as it is now.

        Args:
            folder: of documents, or one document.
            cache: where indexes are kept; None: ``documents`` in the user's cache.
            embedder: gives vectors, so that passages are found by meaning, too.
            encoding: of texts that aren't UTF-8.

        Raises:
            UserError: where there is no such folder, or the cache can't be written to.
        """
        root = Path(folder)
        if not root.exists():
            raise UserError(f"{root}: no such folder. Give a folder of documents, or one document.")
        key = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        place = Path(cache) if cache is not None else cache_directory() / "documents"
        return cls(root, Store(place / f"{key}.sqlite"), embedder, encoding)

    def update(self, progress: Callable[[int, int], None] | None = None) -> Update:
        """Read what is new or has changed since the last time, forget what is gone, embed what has no vector yet.

        Args:
            progress: called with how many documents were looked at, of how many.

        Raises:
            UserError: where the folder is gone, the disk is full, or the server of embeddings doesn't answer.
        """
        begun = time.monotonic()
        with self._updating:
            found = find_documents(self.folder)
            update = Update(faults=list(found.faults), others=dict(found.others), rebuilt=self._store.check())
            self._take_in(found.documents, update, progress or (lambda done, total: None))
            if self.embedder is not None:
                self._embed(self.embedder)
            with self._store.reading() as database:
                update.passages = database.execute("SELECT count(*) FROM passages").fetchone()[0]
        update.seconds = time.monotonic() - begun
        return update

    def search(self, question: str, k: int = 3) -> list[Passage]:
        """The passages that answer a question best, at most k, the best one first; none where nothing fits.

        Raises:
            UserError: where the server of embeddings doesn't answer.
        """
        vector = self.embedder.embed([question])[0] if self.embedder is not None else None
        with self._store.reading() as database:
            hits = by_words(database, question)
            if vector is not None and self.embedder is not None:
                hits = fused(hits, by_meaning(*self._store.vectors(database, self.embedder.name), vector))
            query = (
                "SELECT d.name, p.place, p.text FROM passages p JOIN documents d ON d.id = p.document WHERE p.id = ?"
            )
            found = [(*database.execute(query, (hit.passage,)).fetchone(), hit.score) for hit in hits[:k]]
        return [Passage(file, place, text, score) for file, place, text, score in found]

    def close(self) -> None:
        self._store.close()

    def _take_in(self, documents: list[Document], update: Update, progress: Callable[[int, int], None]) -> None:
        """Bring the index to the documents that were found, some at a time."""
        with self._store.reading() as database:
            rows = database.execute("SELECT name, size, stamp, digest FROM documents").fetchall()
        known = {name: (size, stamp, digest) for name, size, stamp, digest in rows}
        kept: set[str] = set()
        batch: list[_Read] = []
        written = time.monotonic()
        for done, document in enumerate(documents):
            progress(done, len(documents))
            size, stamp, digest = known.get(document.name, (None, None, None))
            if (size, stamp) != (document.size, document.stamp):
                try:
                    read = _read(document, digest, self.encoding)
                except UserError as error:
                    update.faults.append(str(error))
                    continue
                batch.append(read)
                update.new += digest is None
                update.changed += digest is not None and read.cuts is not None
                update.unchanged += read.cuts is None
            else:
                update.unchanged += 1
            kept.add(document.name)
            if len(batch) >= BATCH or time.monotonic() > written + BATCH_SECONDS:
                self._write(batch, [])
                batch, written = [], time.monotonic()
        update.removed = len(known.keys() - {document.name for document in documents})
        self._write(batch, [name for name in known if name not in kept])

    def _write(self, batch: Sequence[_Read], gone: Sequence[str]) -> None:
        """Enter what was read and forget what is gone, as one change."""
        if not batch and not gone:
            return
        with self._store.writing() as database:
            for name in gone:
                _forget(database, name)
            for read in batch:
                row = (read.document.name, read.document.size, read.stamp, read.digest)
                if read.cuts is None:
                    database.execute("UPDATE documents SET size = ?2, stamp = ?3 WHERE name = ?1 AND digest = ?4", row)
                    continue
                _forget(database, read.document.name)
                number = database.execute("INSERT INTO documents VALUES (NULL, ?, ?, ?, ?)", row).lastrowid
                for piece in read.cuts:
                    _enter(database, number, read.document.name, piece)

    def _embed(self, embedder: Embedder) -> None:
        """Have a vector for every passage; what no passage needs any more is forgotten."""
        with self._store.reading() as database:
            wanted = database.execute(
                "SELECT DISTINCT p.digest, p.place, p.text FROM passages p WHERE p.digest NOT IN "
                "(SELECT digest FROM vectors WHERE model = ?)",
                (embedder.name,),
            ).fetchall()
        for begin in range(0, len(wanted), EMBEDDED):
            some = wanted[begin : begin + EMBEDDED]
            vectors = embedder.embed([f"{place}\n{text}" for _, place, text in some])
            with self._store.writing() as database:
                for (digest, _, _), vector in zip(some, vectors.astype(np.float16), strict=True):
                    row = (embedder.name, digest, vector.tobytes())
                    database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", row)
        with self._store.writing() as database:
            database.execute("DELETE FROM vectors WHERE digest NOT IN (SELECT digest FROM passages)")


@dataclass(frozen=True)
class _Read:
    """A document as it was read: its passages, or None where its content is what the index has."""

    document: Document
    stamp: int
    digest: bytes
    cuts: list[Cut] | None


def _read(document: Document, digest: bytes | None, encoding: str | None) -> _Read:
    now = time.time_ns()
    try:
        content = document.path.read_bytes()
    except OSError as error:
        raise UserError(f"{document.name}: can't be read: {error.strerror}.") from None
    stamp = document.stamp if document.stamp < now - RACY else -1  # -1: looked at again the next time
    new = hashlib.sha256(content).digest()
    cuts = None if new == digest else list(cut(parse(Path(document.name), content, encoding)))
    return _Read(document, stamp, new, cuts)


def _enter(database: sqlite3.Connection, document: int | None, name: str, piece: Cut) -> None:
    digest = hashlib.sha256(f"{piece.place}\n{piece.text}".encode()).digest()[:16]
    row = (document, piece.place, piece.text, digest)
    number = database.execute("INSERT INTO passages VALUES (NULL, ?, ?, ?, ?)", row).lastrowid
    words = _words(name, piece.place, piece.text)
    database.execute("INSERT INTO words (rowid, place, text) VALUES (?, ?, ?)", (number, *words))


def _forget(database: sqlite3.Connection, name: str) -> None:
    """Take a document out, with its passages and their words, which SQLite must be told once more."""
    found = database.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
    if found is None:
        return
    for number, place, text in database.execute(
        "SELECT id, place, text FROM passages WHERE document = ?", found
    ).fetchall():
        row = (number, *_words(name, place, text))
        database.execute("INSERT INTO words (words, rowid, place, text) VALUES ('delete', ?, ?, ?)", row)
    database.execute("DELETE FROM passages WHERE document = ?", found)
    database.execute("DELETE FROM documents WHERE id = ?", found)


def _words(name: str, place: str, text: str) -> tuple[str, str]:
    """What a passage is found by: the words of its document's name and of its headings, and its own."""
    above = f"{Path(name).with_suffix('')} {place}"
    return " ".join(words_of(above)), " ".join(words_of(text))
