"""The part of a file that has come so far: it lies beside the file's place until it is whole, and outlives any crash.

One process at a time holds it; a second one waits, and then finds the file in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from gradus.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: no lock; what two processes write at once fails the checksum, and is fetched again
    fcntl = None  # type: ignore[assignment]


class Part:
    """An open ``NAME.part`` whose bytes are the beginning of a file to come."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self.path, self.file = path, file

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return os.fstat(self.file.fileno()).st_size

    def write(self, content: bytes) -> None:
        """Append; every byte is in the file, for a later process to go on from, when this returns.

        Raises:
            UserError: where the disk doesn't take it.
        """
        left = memoryview(content)
        try:
            self.file.seek(0, os.SEEK_END)
            while left:  # a nearly full disk takes less than it is given, and only then refuses
                left = left[self.file.write(left) :]
        except OSError as error:
            raise UserError(
                f"{self.path}: can't be written: {error.strerror}. Make room, or set GRADUS_CACHE to a directory "
                "elsewhere; what has come is kept and gone on with."
            ) from None

    def wipe(self) -> None:
        """Forget all that has come."""
        self.file.truncate(0)

    def sha256(self) -> str:
        """The checksum of all that has come, in hexadecimal."""
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").hexdigest()

    def place(self, path: Path) -> None:
        """Give the part its final name: the place is empty before and holds the whole file after.

        Raises:
            UserError: where the place can't be taken.
        """
        try:
            os.fsync(self.file.fileno())
            if fcntl is None:
                self.file.close()  # Windows renames no open file
            os.replace(self.path, path)
        except OSError as error:
            raise UserError(f"{path}: can't be written: {error.strerror}.") from None


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[Part]:
    """Open the part at a path, new or left by an earlier try, for this process alone; an empty one isn't left behind.

    Args:
        waiting: called once where another process holds it.

    Raises:
        UserError: where it can't be opened.
    """
    file = _open(path)
    while not _lock(file, path, waiting):  # the other process gave the one we waited for its final name
        file.close()
        file = _open(path)
    part = Part(path, file)
    try:
        yield part
    finally:
        if not file.closed:
            if part.size == 0:
                path.unlink(missing_ok=True)
            file.close()


def _open(path: Path) -> io.FileIO:
    try:
        return io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+")
    except OSError as error:
        raise UserError(
            f"{path}: can't be written: {error.strerror}. Set GRADUS_CACHE to a directory that can be."
        ) from None


def _lock(file: io.FileIO, path: Path, waiting: Callable[[], None]) -> bool:
    """Hold the file alone, for as long as it is open. Returns whether it is still the one at the path."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a network disk without locks: as on Windows
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
