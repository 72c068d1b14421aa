"""A power cut, simulated: after a kill, whatever was not synced may be lost, as a disk loses it.

A file that was not synced since it grew may end anywhere after its synced part, or go on in zeros; an entry that its
directory was not synced with may be missing, or stand under its name of before. What is overwritten or cut off in
place is taken as kept, what is removed as removed, what is renamed over something else as renamed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from pathlib import Path
from typing import Any


def note_syncs(file: str) -> None:
    """From now on, note each sync of this process in a file: of which inode, and what it then was."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sync = os.fsync

    def fsync(synced: int) -> None:
        line = json.dumps(_seen(synced))  # before the sync: what comes while it runs is not promised
        sync(synced)
        os.write(handle, f"{line}\n".encode())

    os.fsync = fsync  # type: ignore[assignment]


def cut(directory: Path, notes: Path, chance: random.Random) -> None:
    """Lose what was not synced in a directory, each thing by chance; what is left is then taken for synced."""
    synced: dict[int, Any] = {}
    if notes.exists():
        for line in notes.read_text().splitlines():
            inode, what = json.loads(line)
            synced[inode] = what
    _cut(directory, synced, chance)
    with notes.open("a") as file:
        for path in [directory, *directory.rglob("*")]:
            file.write(json.dumps(_seen(path)) + "\n")


def _cut(directory: Path, synced: dict[int, Any], chance: random.Random) -> None:
    names = synced.get(directory.stat().st_ino)
    names = names if isinstance(names, dict) else {}
    before = {inode: name for name, inode in names.items()}
    for path in sorted(directory.iterdir()):
        inode = path.stat().st_ino
        if path.name not in names and chance.random() < 0.5:
            old = before.get(inode)
            if old is not None and _core(old) == _core(path.name) and not (directory / old).exists():
                path.rename(directory / old)
                path = directory / old
            else:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                continue
        if path.is_dir():
            _cut(path, synced, chance)
            continue
        size, kept = path.stat().st_size, synced.get(inode, 0)
        kept = kept if isinstance(kept, int) else 0
        if size > kept and chance.random() < 0.7:
            end = chance.randint(kept, size)
            os.truncate(path, end)
            if chance.random() < 0.3:
                os.truncate(path, size)  # in zeros


def _core(name: str) -> str:
    """What a name is of: ``.state.partial`` is of ``state``. An inode that comes with another one is used again."""
    for end in (".partial", ".old", ".damaged"):
        name = name.removesuffix(end)
    return name.lstrip(".")


def _seen(thing: int | Path) -> tuple[int, int | dict[str, int]]:
    """An inode and what it is: the size of a file, or the names of a directory with their inodes."""
    status = os.stat(thing)
    if stat.S_ISDIR(status.st_mode):
        with os.scandir(thing) as entries:
            return status.st_ino, {entry.name: entry.inode() for entry in entries}
    return status.st_ino, status.st_size
