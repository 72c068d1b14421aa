"""The file of an index: documents, passages, the words that they are found by, vectors. All SQLite is in here.

A file that is damaged, or of another version, is begun anew: everything in it can be had from the documents again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gradus.errors import UserError

VERSION = 1  # of the tables, of how texts are cut, and of the words that they are found by
PATIENCE = 60.0  # seconds to wait for another process that writes

_TABLES = """
CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, size INTEGER, stamp INTEGER, digest BLOB);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL, place TEXT NOT NULL, text TEXT NOT NULL, digest BLOB NOT NULL
);
CREATE INDEX passages_of ON passages (document);
CREATE INDEX passages_by_digest ON passages (digest);
CREATE VIRTUAL TABLE words USING fts5(place, text, content='', tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE vectors (model TEXT, digest BLOB, vector BLOB NOT NULL, PRIMARY KEY (model, digest)) WITHOUT ROWID;
CREATE TABLE changes (count INTEGER);
INSERT INTO changes VALUES (0);
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Store:
    """An index's file, opened once for all threads of a process; it is made where there is none.

    Raises:
        UserError: where it can't be made, or this Python's SQLite has no full-text search.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rebuilt = ""  # why the file was begun anew since it was last asked
        self._lock = threading.RLock()
        self._vectors: tuple[str, int, np.ndarray, np.ndarray] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path.parent}: can't be made: {error.strerror}. {_ELSEWHERE}") from None
        self._database = self._open()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for one thread at a time; one state of it, whatever other processes write.

        Raises:
            UserError: where it was found to be damaged; it is begun anew, and empty.
        """
        with self._lock, self._told():
            self._database.execute("BEGIN")
            try:
                yield self._database
            finally:
                self._end("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The database, alone; what is done to it is kept whole, or not at all where anything is raised."""
        with self._lock, self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("UPDATE changes SET count = count + 1")
                self._database.execute("COMMIT")
            except BaseException:
                self._end("ROLLBACK")
                raise

    def check(self) -> str:
        """Look the file over. Returns why it was begun anew, here or earlier, "" where it wasn't."""
        with contextlib.suppress(UserError), self.reading() as database:
            fault = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if fault != "ok":
                raise sqlite3.DatabaseError(fault)
        why, self.rebuilt = self.rebuilt, ""
        return why

    def vectors(self, database: sqlite3.Connection, model: str) -> tuple[np.ndarray, np.ndarray]:
        """The passages that a model embedded: their numbers (passages,) and vectors of length 1 (passages, width).

        They are kept in memory until the index changes.
        """
        state = database.execute("SELECT count FROM changes").fetchone()[0]
        if self._vectors is None or self._vectors[:2] != (model, state):
            query = "SELECT p.id, v.vector FROM passages p JOIN vectors v ON v.digest = p.digest WHERE v.model = ?"
            rows = database.execute(query, (model,)).fetchall()
            numbers = np.array([number for number, _ in rows], np.int64)
            matrix = np.array([np.frombuffer(vector, np.float16) for _, vector in rows], np.float32)
            self._vectors = model, state, numbers, matrix.reshape(len(rows), -1)
        return self._vectors[2:]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        database = None
        try:
            database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")  # readers don't wait for a writer
            database.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last changes may be read anew
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                database.execute("ROLLBACK")
                return self._anew(database, "it was of another version of Gradus")
            if version == 0:
                for statement in filter(str.strip, _TABLES.split(";\n")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
            return database
        except sqlite3.DatabaseError as error:
            if database is not None and _is_damage(error):
                return self._anew(database, f"it was damaged ({error})")
            if database is not None:
                database.close()
            raise self._fault(error) from None

    def _anew(self, database: sqlite3.Connection, why: str) -> sqlite3.Connection:
        database.close()
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self.rebuilt, self._vectors = why, None
        return self._open()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What SQLite raises as one line; a damaged file is begun anew first."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise self._fault(error) from None
            self._database = self._anew(self._database, f"it was damaged ({error})")
            raise UserError(f"{self.path}: the index is damaged ({error}), and was emptied. Begin again.") from None

    def _fault(self, error: sqlite3.DatabaseError) -> UserError:
        if "no such module" in str(error):
            return UserError("this Python's SQLite has no full-text search (FTS5). Install Python from python.org.")
        return UserError(f"{self.path}: the index can't be used: {error}. {_ELSEWHERE}")

    def _end(self, statement: str) -> None:
        with contextlib.suppress(sqlite3.DatabaseError):  # what led here is told
            self._database.execute(statement)


_ELSEWHERE = "Make room, or set GRADUS_CACHE to a directory that can be written to."


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # the one of quick_check has none
    return code & 0xFF in _DAMAGED
