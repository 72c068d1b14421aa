"""Which pictures there are, what class each has and where it is read from: folders, zip archives, a CSV of annotations.

Nothing is unpacked: a zip's pictures are read where they lie. No picture is decoded here.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from gradus.data.read import TableText, read_file
from gradus.errors import UserError, nearest

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid",
          "test": "test", "testing": "test"}  # fmt: skip
PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "image_id", "picture", "name", "id")
LABELS = ("label", "class", "target", "category", "y")
MAX_BYTES = 256_000_000  # of one picture file; beyond it is no photograph


@dataclass(frozen=True)
class PictureFile:
    """A picture: its path within the source, its class, its split ("" where none is told), a stamp of its content."""

    path: str
    label: str
    split: str
    size: int
    stamp: int


@dataclass
class PictureSource:
    """The pictures of a directory or a zip archive, and what was left alone or out."""

    root: Path
    zipped: bool
    files: list[PictureFile]
    told_by: str = "the names of the folders"
    """Where the classes come from."""
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Rows of an annotation file whose picture isn't there."""


def find_pictures(path: str | Path, annotations: str | Path | None = None) -> PictureSource:
    """The pictures under a path, each with its class.

    Args:
        path: a directory or a zip archive. In it a folder per class, or ``train``, ``valid`` and ``test`` with a folder
            per class each; or a directory with one zip archive, and perhaps one CSV file of annotations, in it.
        annotations: a CSV of path and label, and perhaps split, for pictures that lie anyhow.

    Raises:
        UserError: where there is nothing to learn from, or a zip's entry points out of it.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such directory or archive. Name a folder that holds a folder per class.")
    if path.is_dir():
        path, annotations = _packed(path, annotations)
    zipped = path.is_file()
    found, others = _in_archive(path) if zipped else _in_directory(path)
    if not found:
        kinds = ", ".join(SUFFIXES[:5])
        raise UserError(f"{path}: no pictures in it ({others} other files). Pictures end in {kinds} and the like.")
    source = PictureSource(path, zipped, found)
    if others:
        source.notes.append(f"{others:,} files that are no pictures were left alone")
    if annotations is not None:
        _by_annotations(source, Path(annotations))
    else:
        _by_folders(source)
    counts = Counter(file.label for file in source.files if file.split != "test")
    if len(counts) < 2:
        raise UserError(
            f"{path}: pictures of one class only ('{next(iter(counts), '')}'). Put each class into a folder of its "
            "own, or name the classes in a CSV with --annotations."
        )
    source.files.sort(key=lambda file: natural(file.path))
    return source


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts "2" before "10"."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part]


def read_content(root: Path, archive: zipfile.ZipFile | None, file: PictureFile) -> bytes:
    """The bytes of a picture file.

    Raises:
        OSError, zipfile.BadZipFile, RuntimeError: where they can't be read.
    """
    if file.size > MAX_BYTES:
        raise OSError(f"{file.size:,} bytes are too many for one picture")
    return archive.read(file.path) if archive is not None else (root / file.path).read_bytes()


def _packed(path: Path, annotations: str | Path | None) -> tuple[Path, str | Path | None]:
    """A directory with one archive, and perhaps one table, in it stands for them."""
    entries = [e for e in sorted(path.iterdir()) if not e.name.startswith(".")]
    archives = [e for e in entries if e.suffix.lower() == ".zip"]
    tables = [e for e in entries if e.suffix.lower() in (".csv", ".tsv")]
    pictures = any(e.is_dir() or e.suffix.lower() in SUFFIXES for e in entries)
    if annotations is None and len(tables) == 1:
        annotations = tables[0]
    if len(archives) == 1 and not pictures:
        return archives[0], annotations
    return path, annotations


def _in_directory(root: Path) -> tuple[list[PictureFile], int]:
    found: list[PictureFile] = []
    others, seen = 0, {os.path.realpath(root)}
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(root / below) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = f"{below}{entry.name}"
                if entry.is_dir():
                    real = os.path.realpath(entry.path)  # links are followed, but not in a circle
                    if real not in seen:
                        seen.add(real)
                        pending.append(path + "/")
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    status = entry.stat()
                    found.append(PictureFile(path, "", "", status.st_size, status.st_mtime_ns))
                else:
                    others += 1
    return found, others


def _in_archive(path: Path) -> tuple[list[PictureFile], int]:
    if path.suffix.lower() in (".csv", ".tsv"):
        raise UserError(f"{path}: a table, and no pictures. Give it as --annotations, and where they lie as --data.")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise UserError(f"{path}: not a zip archive that can be read: {error}. Fetch or copy it again.") from None
    found, others, names = [], 0, set()
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or name.name.startswith(".") or name.parts[0] == "__MACOSX":
            continue
        if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", name.parts[0]):
            raise UserError(f"{path}: its entry '{entry.filename}' points out of the archive. Don't trust this file.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{path}: its entry '{entry.filename}' is a link. Pack the pictures themselves.")
        if entry.filename in names:
            raise UserError(f"{path}: its entry '{entry.filename}' is there twice. Pack it again.")
        names.add(entry.filename)
        if entry.flag_bits & 1:
            raise UserError(f"{path}: its entry '{entry.filename}' is encrypted. Unpack it, and name the directory.")
        if name.name.lower().endswith(SUFFIXES):
            found.append(PictureFile(entry.filename, "", "", entry.file_size, entry.CRC))
        else:
            others += 1
    return found, others


def _inner(files: list[PictureFile]) -> list[tuple[str, ...]]:
    """Each path in parts, without the folders that all of them share above the classes."""
    parts = [PurePosixPath(file.path).parts for file in files]
    while all(len(p) > 2 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    return parts


def _by_folders(source: PictureSource) -> None:
    """The class is the folder's name; folders named train, valid and test above them are the splits."""
    parts = _inner(source.files)
    splits = {p[0].lower() for p in parts if len(p) > 2}
    split = "train" in {SPLITS.get(s) for s in splits} and all(s in SPLITS for s in splits)
    labelled = []
    for file, p in zip(source.files, parts, strict=True):
        if split and len(p) > 2:
            labelled.append(replace(file, label=p[1], split=SPLITS[p[0].lower()]))
        elif not split and len(p) > 1:
            labelled.append(replace(file, label=p[0]))
    loose = len(source.files) - len(labelled)
    if not labelled:
        raise UserError(
            f"{source.root}: {loose:,} pictures lie in it, but in no folder of a class. Put each class into a folder "
            "of its own, or name a CSV of path and label with --annotations."
        )
    if loose:
        source.notes.append(f"{loose:,} pictures outside any class's folder were left alone")
    source.files = labelled


def _by_annotations(source: PictureSource, table: Path) -> None:
    """The class is told by a CSV: a column of paths, one of labels, and perhaps one of splits."""
    text = read_file(table)
    paths, labels = (_column(table, text, names, place) for place, names in enumerate((PATHS, LABELS)))
    splits = next((values for name, values in text.columns.items() if name.lower() == "split"), None)
    known: dict[str, PictureFile | None] = {}
    for picture in source.files:
        for key in _keys(picture):
            known[key] = None if key in known else picture  # None: several pictures are called so
    labelled: dict[str, PictureFile] = {}
    places: dict[str, str] = {}
    for row, (path, label) in enumerate(zip(paths.tolist(), labels.tolist(), strict=True)):
        place = f"{table.parent / text.place(row)}"
        if path is None or label is None:
            raise UserError(f"{place}: the {'path' if path is None else 'label'} is empty. Fill it in.")
        path = path.replace("\\", "/").removeprefix("./")
        if path not in known:
            source.missing.append(f"{place}: {path}: no such picture in {source.root}")
            continue
        file = known[path]
        if file is None:
            raise UserError(f"{place}: several pictures are called {path}. Write their paths from {source.root} on.")
        if file.path in labelled:
            raise UserError(f"{place}: {file.path} was named before, in {places[file.path]}. Leave one of them out.")
        split = (splits[row] or "").lower() if splits is not None else ""
        if split and split not in SPLITS:
            raise UserError(f"{place}: no split '{split}'.{nearest(split, SPLITS)}")
        places[file.path] = text.place(row)
        labelled[file.path] = replace(file, label=label, split=SPLITS.get(split, ""))
    if not labelled:
        raise UserError(f"{source.missing[0]}, nor any other of the table. Name their folder or archive with --data.")
    if len(labelled) < len(source.files):
        more = len(source.files) - len(labelled)
        source.notes.append(f"{more:,} pictures that {table.name} doesn't name were left alone")
    source.files, source.told_by = list(labelled.values()), f"the labels of {table.name}"


def _keys(file: PictureFile) -> Iterator[str]:
    """What an annotation may call a file: its path from any folder above it on, with or without its ending."""
    parts = PurePosixPath(file.path).parts
    for start in range(len(parts)):
        key = "/".join(parts[start:])
        yield key
        yield key.rpartition(".")[0]


def _column(table: Path, text: TableText, names: tuple[str, ...], place: int) -> np.ndarray:
    """The column of one of these names, else the one that usually stands there."""
    for name, values in text.columns.items():
        if name.lower() in names:
            return values
    if len(text.columns) < 2:
        raise UserError(f"{table}: one column only. It needs one of paths and one of labels.")
    return list(text.columns.values())[place]
