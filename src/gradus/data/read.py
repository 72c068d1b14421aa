"""Table files as columns of text: CSV, TSV, JSON (also gzipped) and Parquet, every fault named with file and row.

Nothing is guessed here about what the text means; ``table.py`` does that. A row is counted as a spreadsheet shows it:
the header, where there is one, is row 1.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradus.data.decode_text import decoded, unpacked_member
from gradus.data.json_rows import is_json, json_columns
from gradus.errors import UserError

if TYPE_CHECKING:
    import polars as pl

Text = dict[str, np.ndarray]
"""Columns of str or None (missing), object arrays (rows,), in the file's order."""

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?", "-"))  # what people write for no number
SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
"""What may stand between the fields of a file, where none is named."""


@dataclass(frozen=True)
class TableText:
    """A table as text, and where its rows came from: for each file (first index, file name, row number there).

    ``unit`` is what a row is called there, and ``named`` whether the file itself names its columns.
    """

    columns: Text
    origins: tuple[tuple[int, str, int], ...]
    fingerprint: str
    unit: str = "row"
    named: bool = True

    @property
    def source(self) -> str:
        return self.origins[0][1]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, index: int) -> str:
        """Where a row is: file and row number as a spreadsheet shows it."""
        start, source, first = next(o for o in reversed(self.origins) if o[0] <= index)
        return f"{source}, {self.unit} {index - start + first}"

    def headed(self) -> TableText:
        """The same table with its first row taken for the names of its columns."""
        names = [str(values[0] or "") for values in self.columns.values()]
        start, source, first = self.origins[0]
        columns = dict(zip(_distinct(names), (v[1:] for v in self.columns.values()), strict=True))
        return TableText(columns, ((start, source, first + 1),), self.fingerprint, self.unit)

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
        return TableText(columns, self.origins + origins, self.fingerprint + more.fingerprint, self.unit, self.named)


def read_file(
    path: str | Path,
    *,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    quoted: bool | None = None,
) -> TableText:
    """Read a table file.

    Args:
        header: whether the first row names the columns; None decides: it does unless all of it is numbers.
        separator: between the fields; None decides from the file's first lines.
        encoding: of the text; None takes what its byte-order mark tells, else UTF-8.
        quoted: whether fields may stand in quotes; None decides by looking where tabs separate, else they may.

    Raises:
        UserError: for a file that is missing, a directory, empty, cut short, binary, not of the encoding or ragged.
    """
    path = Path(path)
    content = read_bytes(path)
    fingerprint = hashlib.sha256(content).hexdigest()
    if content[:4] == b"PAR1":
        return TableText(_parquet(path, content), ((0, path.name, 1),), fingerprint)
    text = decoded(path, unpacked_member(path, unzipped(path, content)), encoding)
    start = len(text) - len(text.lstrip("\r\n"))  # empty lines above the table are counted, and no row
    above, text = text.count("\n", 0, start), text[start:]
    if not text.strip():
        raise UserError(f"{path}: the file is empty. Give a file with a header and at least one row.")
    if is_json(path):
        fields = {name: _texts(values) for name, values in json_columns(path, text).items()}
        return TableText(fields, ((0, path.name, 1),), fingerprint)
    separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator) or _separator(text)
    if len(separator) != 1:
        raise UserError(f"the separator is one character, or tab, not {separator!r}.")
    frame = _csv(path, text, separator, _is_quoted(text, separator) if quoted is None else quoted)
    columns = {f"column_{i}": _objects(column) for i, column in enumerate(frame.get_columns(), start=1)}
    table = TableText(columns, ((0, path.name, above + 1),), fingerprint, named=False)
    if header is None:
        header = not all(_is_number(str(values[0] or "")) for values in columns.values())
    if header:
        table = table.headed()
    if len(table) == 0:
        raise UserError(f"{path}: there is a header but no row below it. Give at least one row of data.")
    return table


def read_frame(frame: Any) -> TableText:
    """A polars or pandas data frame, a Hugging Face dataset or a dict of columns, as columns of text."""
    if hasattr(frame, "to_polars"):
        frame = frame.to_polars()
    names = list(frame.columns) if hasattr(frame, "columns") else list(frame)
    columns: Text = {}
    for name in names:
        values = frame[name]
        values = values.to_list() if hasattr(values, "to_list") else list(values)
        columns[str(name)] = _texts(values)
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


def _separator(text: str) -> str:
    """The one that cuts the first lines into equally many fields, else the most frequent one of the first line."""
    first = text.split("\n", 1)[0]
    head = text if len(text) <= 65536 else text[:65536].rpartition("\n")[0]
    even = []
    for separator in SEPARATORS:
        rows = _rows(head, separator, _is_quoted(head, separator))
        widths = {len(row) for row in itertools.islice(rows, 50) if row}
        if len(widths) == 1 and widths != {1}:
            even.append(separator)
    return "\t" if "\t" in even else max(even or SEPARATORS, key=first.count)


def _is_quoted(text: str, separator: str) -> bool:
    """Whether a quotation mark at the start of a field quotes the field, as it needn't where tabs separate.

    It does unless one isn't closed at its field's end: a sentence with speech in it, written down as it is.
    """
    if separator != "\t" or '"' not in text:
        return True
    closed = re.compile(r'(?:^|(?<=[\t\n]))"[^"]*+(?:""[^"]*+)*+"(?=[\t\r\n]|$)')
    return re.search(r'(?:^|[\t\n])"', closed.sub("", text)) is None


def _csv(path: Path, text: str, separator: str, quoted: bool) -> pl.DataFrame:
    """The fields as strings, with the fast reader; a slow look at the rows where it stumbles or a field is missing."""
    import polars as pl

    width = len(next(_rows(text, separator, quoted)))
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            has_header=False,
            infer_schema=False,
            separator=separator,
            quote_char='"' if quoted else None,
            schema={f"c{i}": pl.String for i in range(width)},
        )
    except pl.exceptions.PolarsError as error:
        _ragged(path, text, separator, quoted, width)
        raise UserError(f"{path}: not a table that can be read: {str(error).splitlines()[0]}.") from None
    if frame.get_columns()[-1].null_count():  # an empty last field, or a row with too few of them
        _ragged(path, text, separator, quoted, width)
    return frame


def _rows(text: str, separator: str, quoted: bool) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # else a field of more than 131,072 characters is an error
    lines = (line[0].replace("\r", "") for line in re.finditer(r"[^\n]*(?:\n|$)", text))  # often the first is enough
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)


def _ragged(path: Path, text: str, separator: str, quoted: bool, width: int) -> None:
    for number, row in enumerate(_rows(text, separator, quoted), start=1):
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
    return {name: _texts(frame[name].to_list()) for name in frame.columns}


def _objects(column: pl.Series) -> np.ndarray:
    return np.array([v.strip() or None if v else None for v in column.to_list()], dtype=object)


def _texts(values: Iterable[Any]) -> np.ndarray:
    return np.array([_as_text(v) for v in values], dtype=object)


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
