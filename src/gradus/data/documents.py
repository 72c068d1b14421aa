"""Files made plain text: gzipped ones; JSON lines and Parquet tables, with a mark between their documents."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gradus.data.characters import whole_characters
from gradus.errors import UserError, nearest

MARK = "\x00"  # between two documents; no text has one, and those that a document has are left out
FIELDS = ("text", "content", "messages")  # where a document is looked for, in this order
JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
TABLES = (".parquet", ".pq")
ROWS = 2_000  # of a table that are read at a time


def has_documents(path: Path) -> bool:
    """Whether a file is JSON lines or a Parquet table, by its name."""
    return path.name.lower().endswith((*JSON_LINES, *TABLES))


def gather(path: Path, to: Path, field: str | None, has: Callable[[int], None]) -> None:
    """Write the documents of a file as plain text, all of them or none.

    Args:
        field: the name of the text in each line or row; None takes the first of ``FIELDS`` that there is.
        has: called with the bytes of the file that were read since the last call.

    Raises:
        UserError: for a line or row without a text, with its number, or a damaged file.
        OSError: where the disk is full.
    """
    partial = to.with_name(f"{to.name}.partial")
    found = _of_table(path, field, has) if path.name.lower().endswith(TABLES) else _of_lines(path, field, has)
    with partial.open("w", encoding="utf-8", newline="") as out:
        written = False
        for document in found:
            if told := whole_characters(document).replace(MARK, ""):
                out.write(MARK * written + told)
                written = True
    if not written:
        partial.unlink()
        raise UserError(f"{path}: no text in it. Give at least one document.")
    os.replace(partial, to)


def unzip(path: Path, to: Path, has: Callable[[int], None]) -> None:
    """Write a gzipped file's content, all of it or nothing.

    Raises:
        UserError: for a damaged file.
        OSError: where the disk is full.
    """
    partial = to.with_name(f"{to.name}.partial")
    with path.open("rb") as raw, partial.open("wb") as out:
        unzipped, done = gzip.GzipFile(fileobj=raw), 0
        try:
            while content := unzipped.read(1 << 20):
                out.write(content)
                has(raw.tell() - done)
                done = raw.tell()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _damaged(path, error) from None
    os.replace(partial, to)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: the gzip file is cut short or damaged ({error}). Fetch or copy it again.")


def _of_lines(path: Path, field: str | None, has: Callable[[int], None]) -> Iterator[str]:
    try:
        with path.open("rb") as raw:
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw
            done = 0
            for number, line in enumerate(lines, start=1):
                where = f"{path}, line {number:,}"
                if line.strip():
                    value = _parsed(line, where)
                    if isinstance(value, dict):
                        field = field or _field_of(list(value), where)
                    yield _text(value, field, where)
                has(raw.tell() - done)
                done = raw.tell()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, error) from None


def _of_table(path: Path, field: str | None, has: Callable[[int], None]) -> Iterator[str]:
    import polars as pl

    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        rows = int(table.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path}: no Parquet table that can be read ({reason}). Fetch or copy it again.") from None
    texts = [name for name, kind in schema.items() if kind == pl.String]
    if field is None and len(texts) == 1:
        field = texts[0]
    elif field is None:
        field = _field_of([*texts, *("messages" for name in schema if name == "messages")], f"{path}")
    elif field not in schema:
        raise UserError(f"{path}: no column '{field}'.{nearest(field, list(schema))} It has: {', '.join(schema)}.")
    size = path.stat().st_size
    for begin in range(0, rows, ROWS):
        part = table.select(field).slice(begin, ROWS).collect()
        for number, value in enumerate(part[field].to_list(), start=begin + 1):
            yield _text({field: value}, field, f"{path}, row {number:,}")
        has(size * len(part) // rows)


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.strip())
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text. Save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg}, character {error.colno}). Each line is to be one object."
        ) from None


def _field_of(names: list[str], where: str) -> str:
    """The field that holds the text, where none was named."""
    found = next((name for name in FIELDS if name in names), None)
    if found is None:
        told = f"there are {', '.join(names)}" if names else "there is none"
        raise UserError(
            f"{where}: none of its fields is called text, content or messages; {told}. Name it with --field."
        )
    return found


def _text(value: Any, field: str | None, where: str) -> str:
    """The document in a line or row: a text itself, a field that is one, or messages, each after its role."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or field is None:
        raise UserError(f'{where}: neither a text nor an object with one, such as {{"text": "…"}}.')
    if field not in value:
        raise UserError(f"{where}: no field '{field}'.{nearest(field, list(value))}")
    found = value[field]
    if isinstance(found, list) and found and all(_is_message(one) for one in found):
        return "\n\n".join(f"{one['role']}: {one['content']}" for one in found)
    if not isinstance(found, str):
        raise UserError(f"{where}: '{field}' holds no text but {'nothing' if found is None else type(found).__name__}.")
    return found


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
