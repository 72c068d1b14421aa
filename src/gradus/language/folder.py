"""What lies in a folder of documents, also below links: the files that can be read, and a line for each that can't."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gradus.data.picture_files import natural
from gradus.errors import UserError
from gradus.language.parse import KINDS, LARGEST

LEFT_OUT = ("node_modules", "__pycache__", "site-packages")
"""Folders of other people's files; those whose names begin with a dot are left out, too."""


@dataclass(frozen=True)
class Document:
    """A file: where it is, its name as seen from the folder, its bytes, and when it was written (nanoseconds)."""

    path: Path
    name: str
    size: int
    stamp: int


@dataclass
class Folder:
    """Attributes:
    documents: the files that can be read, by name.
    faults: a line for each that should be and can't.
    others: how many files there are of each kind that isn't read, as ``.png``.
    """

    documents: list[Document] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def find_documents(root: Path) -> Folder:
    """Everything in a folder and those in it; a single file is a folder of one, whatever its kind.

    Raises:
        UserError: where there is no such folder, or it can't be opened.
    """
    try:
        status = root.stat()
        found = Folder()
        if stat.S_ISREG(status.st_mode):
            _enter(found, root, root.name, status)
        else:
            _walk(found, root, "", [(status.st_dev, status.st_ino)])
    except FileNotFoundError:
        raise UserError(f"{root}: no such folder. Give a folder of documents, or one document.") from None
    except OSError as error:
        raise UserError(f"{root}: can't be opened: {error.strerror}.") from None
    found.documents.sort(key=lambda document: natural(document.name))
    return found


def _walk(found: Folder, folder: Path, prefix: str, above: list[tuple[int, int]]) -> None:
    """Enter what lies in a folder; ``above`` are the devices and inodes of the folders that lead to it."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name in LEFT_OUT:
            continue
        try:
            status = entry.stat()
            inode = (status.st_dev, status.st_ino)
            if not stat.S_ISDIR(status.st_mode):
                _enter_kind(found, Path(entry.path), name, status)
            elif inode in above:
                found.faults.append(f"{name}: a link back to a folder that it lies in.")
            else:
                _walk(found, Path(entry.path), f"{name}/", [*above, inode])
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            found.faults.append(f"{_shown(name)}: {'a link to nothing' if missing else error.strerror}.")


def _enter_kind(found: Folder, path: Path, name: str, status: os.stat_result) -> None:
    if path.suffix.lower() in KINDS:
        _enter(found, path, name, status)
    else:
        found.others[path.suffix.lower()] += 1


def _enter(found: Folder, path: Path, name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe or a device, which would be waited for
    if _shown(name) != name:
        found.faults.append(f"{_shown(name)}: the name isn't UTF-8. Rename the file.")
    elif status.st_size > LARGEST:
        found.faults.append(f"{name}: {status.st_size:,} bytes, and no more than {LARGEST:,} are read. Split it.")
    else:
        found.documents.append(Document(path, name, status.st_size, status.st_mtime_ns))


def _shown(name: str) -> str:
    """A name as it can be printed."""
    return name.encode("utf-8", "replace").decode()
