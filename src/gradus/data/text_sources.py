"""Where texts lie: files, folders and data frames as tables, each with the split that it stands for ("" for none)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradus.data.decode_text import decoded, split_lines, unpacked_member
from gradus.data.json_rows import SUFFIXES
from gradus.data.read import TableText, read_bytes, read_file, read_frame, unzipped
from gradus.data.text_columns import PARTS
from gradus.errors import UserError

Tables = list[tuple[str, TableText]]
"""Tables with the split that each stands for."""

_ORDER = ("train", "", "valid", "test")
_LINES = (".txt", ".txt.gz")
_FIELDS = (".csv", ".tsv", *SUFFIXES, ".parquet")


@dataclass(frozen=True)
class How:
    """What the person told of how files are to be read; None is found by looking."""

    header: bool | None = None
    separator: str | None = None
    encoding: str | None = None
    quoted: bool | None = None


def gather(source: Any, valid: Any, test: Any, read: Callable[[Any], Tables]) -> Tables:
    """The tables of a source, or of a dict of sources by split, and of the sources that are splits of their own.

    Those to train on come first. Fractions are left to whoever splits.
    """
    if isinstance(source, Mapping) and any(_is_part(name) for name in source):
        strange = [str(name) for name in source if not _is_part(name)]
        if strange:
            raise UserError(f"'{strange[0]}' is no split among train, valid and test. Leave it out of the dict.")
        tables = [(PARTS[str(name).lower()], table) for name, one in source.items() for _, table in read(one)]
    else:
        tables = read(source)
    for part, given in (("valid", valid), ("test", test)):
        if given is not None and not isinstance(given, float | int):
            tables += [(part, table) for _, table in read(given)]
    return sorted(tables, key=lambda one: _ORDER.index(one[0]))


def tables_of(source: Any, how: How) -> Tables:
    """A table file, a folder of table files named for their splits, a data frame or a dict of columns."""
    if not isinstance(source, str | Path):
        return [("", source if isinstance(source, TableText) else _frame(source))]
    if not Path(source).is_dir():
        return [("", _table(Path(source), how))]
    return [(part, _table(file, how)) for part, file in _table_files(Path(source))]


def labelled_of(source: Any, how: How) -> Tables:
    """As ``tables_of``; and a folder per class with a text a file, or a file per class with a text a line."""
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return tables_of(source, how)
    root = Path(source)
    folders = [folder for folder in _inside(root) if folder.is_dir()]
    parts = [folder for folder in folders if _is_part(folder.name) and any(f.is_dir() for f in _inside(folder))]
    if parts:
        return [(PARTS[folder.name.lower()], _class_folders(folder, how)) for folder in parts]
    if any(_texts_in(folder) for folder in folders):
        return [("", _class_folders(root, how))]
    if any(_is_table(file) for file in _inside(root)):  # which may have a readme.txt beside it
        return tables_of(root, how)
    return [("", _class_files(root, how))]


def lines_of(source: Any, how: How) -> Tables:
    """Texts, one a line: of a file, of the files of a folder one after the other, or a sequence of str."""
    if not isinstance(source, str | Path):
        texts = [str(text) for text in source]
        return [("", _lines("the texts", texts, hashlib.sha256(repr(texts).encode()).hexdigest()))]
    path = Path(source)
    if not path.is_dir():
        return [("", _lines_file(path, how))]
    files = _texts_in(path)
    if not files:
        raise UserError(_nothing(path))
    return [(_part_in(file), _lines_file(file, how)) for file in files]


def stacked(tables: Tables, names: Sequence[str]) -> tuple[TableText, np.ndarray]:
    """The named columns of all tables, one below the other, and the split of each row.

    Raises:
        UserError: where a table lacks a column.
    """
    part, whole = tables[0]
    columns = {name: whole.columns[name] for name in names}
    whole = TableText(columns, whole.origins, whole.fingerprint, whole.unit, whole.named)
    parts = [part] * len(whole)
    for part, table in tables[1:]:
        whole = whole.below(table)
        parts += [part] * (len(whole) - len(parts))
    return whole, np.array(parts)


def _table(path: Path, how: How) -> TableText:
    header = bool(how.header)  # where it isn't told, the first row is looked at later, beside the choice of columns
    return read_file(path, header=header, separator=how.separator, encoding=how.encoding, quoted=how.quoted)


def _frame(frame: Any) -> TableText:
    """A data frame as a table; where a Hugging Face dataset numbers its classes they get their names."""
    if isinstance(frame, list | tuple):
        frame = _by_column(frame)
    elif not (isinstance(frame, Mapping) or hasattr(frame, "columns") or hasattr(frame, "to_polars")):
        raise UserError(f"texts of type {type(frame).__name__}: give a file, a folder, a data frame or a list of rows.")
    table = read_frame(frame)
    for name, feature in dict(getattr(frame, "features", None) or {}).items():
        names = getattr(feature, "names", None)
        if names and name in table.columns:
            values = table.columns[name].tolist()
            table.columns[name] = np.array([None if v in (None, "-1") else names[int(v)] for v in values], dtype=object)
    return table


def _by_column(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows, each a dict or a sequence such as (text, label), as columns."""
    if rows and all(isinstance(row, Mapping) for row in rows):
        return {str(name): [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}
    widths = {len(row) if isinstance(row, list | tuple) else 1 for row in rows}
    if len(widths) != 1 or widths == {1}:
        raise UserError("a list of rows is wanted, each of a text and what goes with it: [('a fine film', 'good'), …].")
    return {f"column_{i}": list(values) for i, values in enumerate(zip(*rows, strict=True), start=1)}


def _table_files(folder: Path) -> list[tuple[str, Path]]:
    found = [file for file in _inside(folder) if _is_table(file)]
    told = [(_part_in(file), file) for file in found]
    if not found or (len(found) > 1 and not all(part for part, _ in told)):
        raise UserError(_nothing(folder))
    return told


def _class_folders(root: Path, how: How) -> TableText:
    """Each folder is a class, each file in it a text."""
    texts: list[str | None] = []
    labels, origins, digest = [], [], hashlib.sha256()
    for folder in (folder for folder in _inside(root) if folder.is_dir()):
        for file in _texts_in(folder):
            content, name = read_bytes(file), f"{root.name}/{folder.name}/{file.name}"
            origins.append((len(texts), name, 1))
            texts.append(" ".join(decoded(file, unzipped(file, content), how.encoding).split()) or None)
            labels.append(folder.name)
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
    if not texts:
        raise UserError(_nothing(root))
    columns = {"text": np.array(texts, dtype=object), "folder": np.array(labels, dtype=object)}
    return TableText(columns, tuple(origins), digest.hexdigest(), "line")


def _class_files(root: Path, how: How) -> TableText:
    """Each file is a class, each line in it a text."""
    whole: TableText | None = None
    for file in _texts_in(root):
        lines = _lines_file(file, how)
        label = file.name.removesuffix(".gz").removesuffix(".txt")
        named = {**lines.columns, "file": np.full(len(lines), label, dtype=object)}
        table = TableText(named, lines.origins, lines.fingerprint, "line")
        whole = table if whole is None else whole.below(table)
    if whole is None:
        raise UserError(_nothing(root))
    return whole


def _lines_file(path: Path, how: How) -> TableText:
    content = read_bytes(path)
    text = decoded(path, unpacked_member(path, unzipped(path, content)), how.encoding)
    if not text.strip():
        raise UserError(f"{path}: the file is empty. Give a file with one text a line.")
    return _lines(path.name, split_lines(text), hashlib.sha256(content).hexdigest())


def _lines(name: str, lines: list[str], fingerprint: str) -> TableText:
    texts = np.array([line.strip() or None for line in lines], dtype=object)
    return TableText({"text": texts}, ((0, name, 1),), fingerprint, "line")


def _inside(folder: Path) -> list[Path]:
    """What a folder holds and doesn't hide, by name."""
    return sorted((near for near in folder.iterdir() if not near.name.startswith((".", "_"))), key=lambda p: p.name)


def _texts_in(folder: Path) -> list[Path]:
    return [file for file in _inside(folder) if file.is_file() and file.name.lower().endswith(_LINES)]


def _is_table(file: Path) -> bool:
    return file.is_file() and file.name.lower().removesuffix(".gz").endswith(_FIELDS)


def _is_part(name: Any) -> bool:
    return str(name).lower() in PARTS


def _part_in(file: Path) -> str:
    """The split that a file's name tells, as in ``names_test.csv.gz`` or ``train-00000-of-00001.parquet``."""
    words = "".join(c if c.isalnum() else " " for c in file.name.lower()).split()
    return next((PARTS[word] for word in words if word in PARTS), "")


def _nothing(folder: Path) -> str:
    names = ", ".join(near.name for near in _inside(folder)[:5]) or "nothing"
    return (
        f"{folder}: no texts found in this folder, which holds {names}. Give a folder per class with .txt files, "
        "a .txt file per class, or name one table file."
    )
