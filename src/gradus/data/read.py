"""Table files as columns of text: CSV and TSV (also gzipped) and Parquet, every fault named with file and row.

Nothing is guessed here about what the text means; ``table.py`` does that. A row is counted as a spreadsheet shows it:
the header, where there is one, is row 1.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradus.errors import UserError

if TYPE_CHECKING:
    import polars as pl

Text = dict[str, np.ndarray]
"""Columns of str or None (missing), object arrays (rows,), in the file's order."""


@dataclass(frozen=True)
class TableText:
    """A table as text, and where its rows came from: for each file (first index, file name, row number there)."""

    columns: Text
    origins: tuple[tuple[int, str, int], ...]
    fingerprint: str

    @property
    def source(self) -> str:
        return self.origins[0][1]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, index: int) -> str:
        """Where a row is: file and row number as a spreadsheet shows it."""
        start, source, first = next(o for o in reversed(self.origins) if o[0] <= index)
        return f"{source}, row {index - start + first}"

    def below(self, more: TableText) -> TableText:
        """The rows of another table below these; it may have more columns.

        Raises:
            UserError: where it lacks a column of this one.
        """
        for name in self.columns:
            if name not in more.columns:
                raise UserError(f"{more.source}: lacks the column '{name}' of {self.source}.")
        columns = {name: np.concatenate([v, more.columns[name]]) for name, v in self.columns.items()}
        origins = tuple((start + len(self), source, first) for start, source, first in more.origins)
        return TableText(columns, self.origins + origins, self.fingerprint + more.fingerprint)


def read_file(path: str | Path, *, header: bool | None = None, separator: str | None = None) -> TableText:
    """Read a table file.

    Args:
        header: whether the first row names the columns; None decides: it does unless all of it is numbers.
        separator: between the fields; None decides from the file's first line.

    Raises:
        UserError: for a file that is missing, a directory, empty, cut short, binary, not UTF-8 or ragged.
    """
    path = Path(path)
    content = read_bytes(path)
    fingerprint = hashlib.sha256(content).hexdigest()
    if content[:4] == b"PAR1":
        return TableText(_parquet(path, content), ((0, path.name, 1),), fingerprint)
    content = unzipped(path, content)
    text = _decoded(path, content)
    if not text.strip():
        raise UserError(f"{path}: the file is empty. Give a file with a header and at least one row.")
    separator = separator or _separator(text)
    frame = _csv(path, text, separator)
    names = [str(v or "").strip() for v in frame.row(0)]
    header = not all(_is_number(n) for n in names) if header is None else header
    if header:
        frame = frame.slice(1)
    else:
        names = [f"column_{i}" for i in range(1, frame.width + 1)]
    if frame.height == 0:
        raise UserError(f"{path}: there is a header but no row below it. Give at least one row of data.")
    columns = dict(zip(_distinct(names), (_objects(column) for column in frame.get_columns()), strict=True))
    return TableText(columns, ((0, path.name, 2 if header else 1),), fingerprint)


def read_frame(frame: Any) -> TableText:
    """A polars or pandas data frame, a Hugging Face dataset or a dict of columns, as columns of text."""
    if hasattr(frame, "to_polars"):
        frame = frame.to_polars()
    names = list(frame.columns) if hasattr(frame, "columns") else list(frame)
    columns: Text = {}
    for name in names:
        values = frame[name]
        values = values.to_list() if hasattr(values, "to_list") else list(values)
        columns[str(name)] = np.array([_as_text(v) for v in values], dtype=object)
    if not columns or len(next(iter(columns.values()))) == 0:
        raise UserError("the data frame has no rows. Give at least one row of data.")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise UserError(f"the columns are of different lengths: {sorted(lengths)}. Give columns of one length.")
    digest = hashlib.sha256(repr([(n, v.tolist()) for n, v in columns.items()]).encode()).hexdigest()
    return TableText(columns, ((0, "data frame", 1),), digest)


def read_bytes(path: Path) -> bytes:
    """A file's bytes, every way in which that can fail told as one line."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = (
            f" {path.parent} holds: {', '.join(sorted(near)[:8])}." if near else f" There is no {path.parent} either."
        )
        raise UserError(f"{path}: no such file.{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a directory, where a file is wanted. Name one file in it.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None


def unzipped(path: Path, content: bytes) -> bytes:
    """The content of a gzip file, or the bytes themselves where they are no gzip."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: the gzip file is cut short or damaged ({error}). Fetch or copy it again.") from None


def _decoded(path: Path, content: bytes) -> str:
    if b"\x00" in content[:65536]:
        raise UserError(f"{path}: binary data, not a table. Give a CSV, TSV or Parquet file (CSV may be gzipped).")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8 text. Save the file as UTF-8."
        ) from None


def _separator(text: str) -> str:
    first = text.lstrip("\n\r").split("\n", 1)[0]
    return max(",\t;|", key=first.count)


def _csv(path: Path, text: str, separator: str) -> pl.DataFrame:
    """The fields as strings, with the fast reader; a slow look at the rows where it stumbles or a field is missing."""
    import polars as pl

    width = len(next(csv.reader(io.StringIO(text), delimiter=separator)))
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            has_header=False,
            infer_schema=False,
            separator=separator,
            schema={f"c{i}": pl.String for i in range(width)},
        )
    except pl.exceptions.PolarsError as error:
        _ragged(path, text, separator, width)
        raise UserError(f"{path}: not a table that can be read: {str(error).splitlines()[0]}.") from None
    if frame.get_columns()[-1].null_count():  # an empty last field, or a row with too few of them
        _ragged(path, text, separator, width)
    return frame


def _ragged(path: Path, text: str, separator: str, width: int) -> None:
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), start=1):
        if row and len(row) != width:
            raise UserError(
                f"{path}, row {number}: {len(row)} fields where the first row has {width}. "
                f"It starts with {separator.join(row)[:40]!r}; mend that row, or quote fields that hold '{separator}'."
            )


def _parquet(path: Path, content: bytes) -> Text:
    import polars as pl

    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{path}: damaged Parquet file: {str(error).splitlines()[0]}.") from None
    if frame.height == 0:
        raise UserError(f"{path}: the table has no rows. Give at least one row of data.")
    return {name: np.array([_as_text(v) for v in frame[name].to_list()], dtype=object) for name in frame.columns}


def _objects(column: pl.Series) -> np.ndarray:
    return np.array([v.strip() or None if v else None for v in column.to_list()], dtype=object)


def _as_text(value: Any) -> str | None:
    if value is None or value != value:  # NaN and pandas' NaT differ from themselves
        return None
    return str(value).strip() or None


def _distinct(names: list[str]) -> list[str]:
    """Names made distinct: a name that was there before gets a number, an empty one its place."""
    seen: dict[str, int] = {}
    out = []
    for place, name in enumerate(names, start=1):
        name = name or f"column_{place}"
        if name in seen:
            fresh = (f"{name}_{n}" for n in itertools.count(seen[name] + 1))
            unused = next(n for n in fresh if n not in seen and n not in names)
            seen[name] += 1
            name = unused
        seen[name] = 1
        out.append(name)
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
