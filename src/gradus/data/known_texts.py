"""Texts read for a run that is there already, to be told or to be measured on: nothing is fitted anew."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradus.data.columns import Raw
from gradus.data.decode_text import decoded, split_lines
from gradus.data.encoder import Encoder
from gradus.data.read import TableText
from gradus.data.sequences import TextClasses, TextLines, TextPairs
from gradus.data.splits import Splits
from gradus.data.text_columns import with_header, with_side_names
from gradus.data.text_sources import How, labelled_of, lines_of, tables_of
from gradus.data.texts import read_lines, read_pairs
from gradus.errors import UserError, nearest

LINES = (".txt", ".txt.gz")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz", ".tsv.gz", ".json.gz", ".jsonl.gz")


def texts_in(path: Path, encoder: Encoder, columns: Sequence[str] = ()) -> tuple[list[str], str]:
    """The texts of a file, and how its column was chosen, "" where there was no choice.

    Args:
        path: one text a line (empty lines are left out), or a table with a column of texts.
        columns: those that the run was trained on, which count where the file has them.

    Raises:
        UserError: for a file that cannot be read, or that holds no text.
    """
    name, told = encoder.columns[0].name, ""
    if path.name.lower().endswith(LINES):
        table = lines_of(path, How())[0][1]
        values = table.columns["text"]
    elif path.name.lower().endswith(TABLES):
        table = tables_of(path, How())[0][1]
        if encoder.reply is None:
            table = _headed(table, [*columns, name], encoder.target.labels)
        else:
            table = with_side_names(table, ())
        values, told = _texts_of(table, [*columns], name, list(table.columns), first=encoder.reply is not None)
    else:
        raise UserError(f"{path}: a kind of file that has no texts. Give {', '.join((*LINES[:1], *TABLES[:5]))}.")
    texts = [str(value) for value in values.tolist() if value]
    if not texts:
        raise UserError(f"{path}: every text is empty. Give a file with texts.")
    return texts, told


def lines_in(content: bytes, name: str) -> list[str]:
    """The texts of a stream, one a line; empty lines are left out."""
    lines = [line.strip() for line in split_lines(decoded(Path(name), content))]
    return [line for line in lines if line]


def labelled_like(path: Path, encoder: Encoder, columns: Sequence[str] = (), target: str | None = None) -> TextClasses:
    """Texts with labels as a run knows them, all of them as the test split.

    Args:
        columns, target: the names of the text's and the label's columns, which count where the file has them; else
            the label is the column that holds labels of the run.

    Raises:
        UserError: for a label that the run doesn't know, with its row; for a file that cannot be read.
    """
    name, labels = encoder.columns[0].name, encoder.target.labels
    table = labelled_of(path, How())[0][1]
    wanted = [*columns, name, *([target] if target else []), encoder.target.name]
    table = _headed(table, wanted, labels)
    plain = {header: [_plain(value) for value in values.tolist()] for header, values in table.columns.items()}
    if len(plain) < 2:
        raise UserError(f"{path}: one column only, so no label beside a text.")
    known = {header: sum(value in labels for value in values) for header, values in plain.items()}
    label = target if target in plain else max(known, key=lambda header: known[header])
    if not known[label]:
        raise UserError(f"{path}: no column holds labels of the run, which are {', '.join(labels[:12])}.")
    texts, _ = _texts_of(table, columns, name, [header for header in plain if header != label])
    rows = [row for row, text in enumerate(texts.tolist()) if text]
    if not rows:
        raise UserError(f"{path}: every text is empty. Give a file with texts.")
    classes = np.zeros(len(rows), dtype=np.int64)
    for place, row in enumerate(rows):
        value = plain[label][row]
        if value not in labels:
            told = f"the label '{value}' isn't one of the run's.{nearest(value, labels)}" if value else "has no label."
            raise UserError(f"{table.place(row)}: {told} It knows {', '.join(labels[:12])}.")
        classes[place] = labels.index(value)
    return TextClasses(path.name, {name: texts[rows]}, classes, lambda _, __: encoder, _all_test(len(rows)))


def pairs_like(path: Path, encoder: Encoder, *, reverse: bool = False) -> TextPairs:
    """Texts with other texts, all of them as the test split."""
    assert encoder.reply is not None
    rows = read_pairs(path, reverse=reverse)
    raw = {encoder.columns[0].name: rows.columns["source"], encoder.reply.name: rows.columns["target"]}
    return TextPairs(path.name, raw, lambda _, __: encoder, _all_test(len(rows)))


def lines_like(path: Path, encoder: Encoder) -> TextLines:
    """Texts to be gone on with, all of them as the test split."""
    rows = read_lines(path)
    raw: Raw = {encoder.columns[0].name: rows.columns["text"]}
    return TextLines(path.name, raw, lambda _, __: encoder, _all_test(len(rows)))


def _texts_of(
    table: TableText, wanted: Sequence[str], name: str, free: Sequence[str], *, first: bool = False
) -> tuple[np.ndarray, str]:
    """The column of the texts, (rows,), and how it was chosen: as the run's, else the longest, or the first."""
    if not free:
        raise UserError(f"{table.source}: no column is left for the text.")
    if wanted and all(header in table.columns for header in wanted):
        joined = zip(*(table.columns[header].tolist() for header in wanted), strict=True)
        return np.array([" ".join(part for part in row if part) or None for row in joined], dtype=object), ""
    if name in free:
        return table.columns[name], ""
    if len(free) == 1:
        return table.columns[free[0]], ""
    if first:
        return table.columns[free[0]], f"the texts are the first column, {free[0]}"
    longest = max(free, key=lambda header: sum(len(value) for value in table.columns[header].tolist() if value))
    return table.columns[longest], f"the texts are the longest column, {longest}"


def _headed(table: TableText, names: Sequence[str], labels: Sequence[str]) -> TableText:
    """A table with its first row as the names of its columns, where it is that: it holds a name, and no label."""
    first = {_plain(values[0]) for values in table.columns.values()}
    known = [name for name in names if name in first]
    return table if not known and first & set(labels) else with_header(table, known)


def _plain(value: str | None) -> str:
    return unicodedata.normalize("NFC", value or "")


def _all_test(rows: int) -> Splits:
    """Every row to measure on; "train" is what a dataset is fitted on, and here nothing is."""
    everything = np.arange(rows)
    return {"train": everything, "valid": everything[:0], "test": everything}
