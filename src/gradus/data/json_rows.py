"""JSON as columns of text: one object a line, a list of objects, or an object of columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradus.data.decode_text import split_lines
from gradus.errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".json")


def is_json(path: Path) -> bool:
    """Whether a file's name says that it is JSON, also gzipped."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def json_columns(path: Path, text: str) -> dict[str, list[Any]]:
    """The values by name, None where an object lacks one. Names whose values are lists or objects are left aside.

    Raises:
        UserError: for what isn't JSON, or isn't objects of names and values, with its line or row.
    """
    rows = _rows(path, text)
    if not rows:
        raise UserError(f"{path}: no rows in it. Give at least one object with names and values.")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    plain = {n: v for n, v in columns.items() if not any(isinstance(one, list | dict) for one in v)}
    if not plain:
        raise UserError(f"{path}: its values are all lists or objects. Give names with plain values: text, numbers.")
    return {name: [_whole(v) for v in values] for name, values in plain.items()}


def _rows(path: Path, text: str) -> list[dict[str, Any]]:
    whole = None
    if path.name.lower().removesuffix(".gz").endswith(".json"):
        try:
            whole = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":  # which is what JSON lines under the name .json look like
                raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from None
    if isinstance(whole, dict) and all(isinstance(v, list) for v in whole.values()) and whole:
        if len(whole) == 1 and all(isinstance(v, dict) for v in next(iter(whole.values()))):
            whole = next(iter(whole.values()))  # {"data": [{…}, …]}
        else:
            return _transposed(path, whole)
    rows = whole if isinstance(whole, list) else [whole] if isinstance(whole, dict) else _lines(path, text)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f'{path}, row {number}: not an object of names and values, such as {{"text": "…"}}.')
    return rows


def _transposed(path: Path, columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{path}: the columns are of different lengths: {lengths}. Give columns of one length.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _lines(path: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: not JSON ({error.msg}, character {error.colno}). Each line is to be one "
                    "object."
                ) from None
    return rows


def _whole(value: Any) -> Any:
    """A text with halves of characters, which JSON can write and no file can hold, has them replaced."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value
