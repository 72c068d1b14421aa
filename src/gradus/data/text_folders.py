"""Which files of a folder are texts: all that are UTF-8, whatever they are called, but what programs put there."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from gradus.data.picture_files import natural

TEXTS = (
    ".txt",
    ".md",
    ".markdown",
    ".rst",
    ".jsonl",
    ".ndjson",
)  # a wrong byte in one of these is to be told
PACKED = (".txt.gz", ".jsonl.gz", ".ndjson.gz")
TABLES = (".parquet", ".pq")
OTHERS = ("node_modules", "__pycache__", "site-packages")  # folders of what was made or fetched by programs
LOOK = 65_536  # bytes of a file that are looked at


def texts_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The texts of a folder and of the folders in it, by name, and the files that were left out as they are none.

    Hidden files and folders aren't looked at, nor virtual environments, nor what is called as one of ``OTHERS``.
    """
    taken: list[Path] = []
    left: list[Path] = []
    for where, folders, files in os.walk(folder):
        here = Path(where)
        folders[:] = [name for name in folders if not _is_other(here / name)]
        for name in files:
            if name[0] != "." and (here / name).is_file():
                (taken if _is_text(here / name) else left).append(here / name)
    return _sorted(taken, folder), _sorted(left, folder)


def told(count: int, names: list[str]) -> str:
    """How many files of a folder were left out, and what some of them are called."""
    some = ", ".join(names) + (", …" if count > len(names) else "")
    if count == 1:
        return f"one file of the folder is no UTF-8 text and was left out: {some}"
    return f"{count:,} files of the folder are no UTF-8 text and were left out: {some}"


def _sorted(paths: list[Path], folder: Path) -> list[Path]:
    return sorted(paths, key=lambda path: natural(str(path.relative_to(folder))))


def _is_other(folder: Path) -> bool:
    return folder.name[0] == "." or folder.name in OTHERS or (folder / "pyvenv.cfg").exists()


def _is_text(path: Path) -> bool:
    if path.name.lower().endswith((*TEXTS, *PACKED, *TABLES)):
        return True
    try:
        with path.open("rb") as file:
            content = file.read(LOOK)
        codecs.getincrementaldecoder("utf-8")().decode(content, final=len(content) < LOOK)
    except (OSError, UnicodeDecodeError):
        return False
    return b"\x00" not in content
