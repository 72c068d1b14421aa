"""Texts as they are read: raw text in, clean raw columns out, every fault told; tokenising comes after.

Three forms: texts with labels, pairs of texts, and texts on lines. Where a source tells its splits they are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradus.data import faults
from gradus.data.clean_text import Cleaning, Form, counted
from gradus.data.read import TableText
from gradus.data.text_columns import labelled_columns, pair_columns, parts_of, with_header, with_side_names
from gradus.data.text_sources import How, Tables, gather, labelled_of, lines_of, stacked, tables_of
from gradus.errors import UserError


@dataclass(frozen=True)
class TextRows:
    """Texts as they were read, empty ones left out.

    Attributes:
        columns: object arrays of str (rows,): "text"; or "source" and "target"; or "title" and "text".
        targets: labels, an object array of str (rows,), where there are labels.
        parts: the split that a row's file or column stands for, "train", "valid" or "test", else "".
        notes: choices, repairs and faults, each a short sentence.
        fingerprint: of what was read and how.
        table: where the rows came from; ``rows`` are their places in it.
    """

    columns: dict[str, np.ndarray]
    targets: np.ndarray | None
    parts: np.ndarray
    notes: tuple[str, ...]
    fingerprint: str
    table: TableText
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.parts)

    def place(self, index: int) -> str:
        """Where a row is: file and row, or line, as an editor shows it."""
        return self.table.place(int(self.rows[index]))


def read_labelled(
    source: Any,
    *,
    text: str | Sequence[str] = (),
    target: str | None = None,
    valid: Any = None,
    test: Any = None,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    normalise: Form = "NFC",
    unescape: bool = False,
    leave_out: Sequence[str] = (),
    drop_missing_target: bool = False,
) -> TextRows:
    """Texts with a label each, as the column "text" and ``targets``.

    Args:
        source: a CSV, TSV, JSON lines, JSON (all also gzipped) or Parquet file; a folder per class with a text a
            file, a folder of files named for their class with a text a line, a folder of table files named for their
            splits; a data frame, a Hugging Face dataset, a dict of columns, or a dict of any of them by split.
        text: the column of the text, or several, joined by a space; () takes the longest.
        target: the column of the label; None takes the one whose values recur.
        valid, test: such a source of its own; a fraction is left to whoever splits.
        header: whether the first row names the columns; None looks whether it is like those below.
        separator: between the fields; None looks.
        encoding: of the files; None takes what a byte-order mark tells, else UTF-8.
        normalise: the Unicode form that texts and labels are brought to, "none" for none.
        unescape: turn what HTML's escapes stand for back into it.
        leave_out: texts that are no samples.
        drop_missing_target: leave out rows without a label instead of refusing them.

    Raises:
        UserError: for what cannot be read; for no label, one label only, or a label that only a split of its own has.
    """
    wanted = (text,) if isinstance(text, str) else tuple(text)
    how = How(header, separator, encoding)
    tables = gather(source, valid, test, lambda one: labelled_of(one, how))
    tables = _headed(tables, header, lambda one: with_header(one, [*wanted, *([target] if target else [])]))
    chosen = labelled_columns(tables[0][1], wanted, target)
    table, parts = stacked(tables, [*chosen.text, chosen.target, *([chosen.part] if chosen.part else [])])
    if chosen.part:
        parts = np.where(parts == "", parts_of(table.columns[chosen.part]), parts)
    clean = Cleaning(normalise, unescape)
    texts = clean(*(table.columns[name] for name in chosen.text))
    labels = Cleaning(normalise)(table.columns[chosen.target])
    notes = [*chosen.notes, *clean.notes()]
    keep, told = _kept(table, [texts], "text", leave_out)
    missing = keep & _absent(labels)
    if missing.any() and not drop_missing_target:
        raise UserError(
            f"{table.place(int(np.argmax(missing)))}: '{chosen.target}' is empty, the first of {missing.sum():,} rows "
            "without a label. Fill them in, or leave them out with --drop-missing-target."
        )
    if missing.any():
        told.append(f"{counted(int(missing.sum()), 'row')} without a label left out")
    rows = np.flatnonzero(keep & ~missing)
    texts, labels, parts = texts[rows], labels[rows], parts[rows]
    what = _fingerprint(table, chosen, clean, sorted(leave_out))
    found = TextRows({"text": texts}, labels, parts, (), what, _origins(table), rows)
    faults.check_labels(labels.tolist(), parts, found.place)
    return replace(found, notes=(*notes, *told, *faults.of_labelled(texts, labels, parts, unescape)))


def read_pairs(
    source: Any,
    *,
    columns: Sequence[str] = (),
    reverse: bool = False,
    valid: Any = None,
    test: Any = None,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    normalise: Form = "NFC",
) -> TextRows:
    """Pairs of texts, such as a sentence and its translation, as the columns "source" and "target".

    Args:
        source: a file of two texts a line with a tab between (also gzipped, or the one text in a zip archive), any
            other table file, a folder of table files named for their splits, or a data frame.
        columns: the two columns; () takes both of two, and of Tatoeba's three the two that are texts.
        reverse: the second is what is read, the first what is answered.
        valid, test, header, separator, encoding, normalise: as of ``read_labelled``.

    Raises:
        UserError: for what cannot be read, or hasn't two columns.
    """
    how = How(header, separator, encoding)
    tables = gather(source, valid, test, lambda one: tables_of(one, how))
    tables = _headed(tables, header, lambda one: with_side_names(one, columns))
    names, note = pair_columns(tables[0][1], columns)
    table, parts = stacked(tables, names)
    first, second = reversed(names) if reverse else names
    clean = Cleaning(normalise)
    left, right = clean(table.columns[first]), clean(table.columns[second])
    keep, told = _kept(table, [left, right], "side")
    rows = np.flatnonzero(keep)
    left, right, parts = left[rows], right[rows], parts[rows]
    what = _fingerprint(table, first, second, clean)
    found = TextRows({"source": left, "target": right}, None, parts, (), what, _origins(table), rows)
    notes = [*([note] if note else []), *clean.notes(), *told, *faults.of_pairs(left, right, parts)]
    return replace(found, notes=tuple(notes))


def read_lines(
    source: Any,
    *,
    title: str = "",
    valid: Any = None,
    test: Any = None,
    encoding: str | None = None,
    normalise: Form = "NFC",
    leave_out: Sequence[str] = (),
) -> TextRows:
    """Texts, one a line, as the column "text".

    Args:
        source: a text file (also gzipped, or the one in a zip archive), a folder of such, or a sequence of str.
        title: what stands between a title and its text on each line; "" where lines are texts alone. Titles become
            the column "title", "" for a line without one.
        valid, test, encoding, normalise, leave_out: as of ``read_labelled``.

    Raises:
        UserError: for what cannot be read.
    """
    tables = gather(source, valid, test, lambda one: lines_of(one, How(encoding=encoding)))
    table, parts = stacked(tables, ["text"])
    clean = Cleaning(normalise)
    texts, notes = clean(table.columns["text"]), []
    titles = np.full(len(texts), "", dtype=object)
    if title:
        cut = [(line or "").partition(title) for line in texts.tolist()]
        titles[:] = [before.strip() if mark else "" for before, mark, _ in cut]
        texts[:] = [(after if mark else before).strip() or None for before, mark, after in cut]
        bare = sum(not mark and bool(before) for before, mark, _ in cut)
        notes += [f"{counted(bare, 'line')} without '{title}', and so without a title"] if bare else []
    keep, told = _kept(table, [texts], "line", leave_out)
    rows = np.flatnonzero(keep)
    texts, titles, parts = texts[rows], titles[rows], parts[rows]
    what = _fingerprint(table, title, clean, sorted(leave_out))
    columns = {"title": titles, "text": texts} if title else {"text": texts}
    found = TextRows(columns, None, parts, (), what, _origins(table), rows)
    return replace(found, notes=(*clean.notes(), *notes, *told, *faults.of_texts(texts, parts)))


def _headed(tables: Tables, header: bool | None, headed: Callable[[TableText], TableText]) -> Tables:
    """The first table's first row is its header or not by looking; a later one's is where it is the same."""
    if header is not None:
        return tables
    part, first = tables[0]
    first = headed(first)
    out = [(part, first)]
    for part, table in tables[1:]:
        again = not table.named and first.named and [v[0] for v in table.columns.values()] == list(first.columns)
        out.append((part, table.headed() if again and len(table) > 1 else table))
    return out


def _kept(
    table: TableText, texts: Sequence[np.ndarray], what: str, leave_out: Sequence[str] = ()
) -> tuple[np.ndarray, list[str]]:
    """Which rows have a text that is wanted, (rows,), and what is told of the others."""
    empty = np.logical_or.reduce([_absent(one) for one in texts])
    told = []
    if empty.all():
        raise UserError(f"{table.source}: every text is empty. Give a file with texts, or name their column.")
    if empty.any():
        first, number = table.place(int(np.argmax(empty))), int(empty.sum())
        rows = counted(number, "empty line") if what == "line" else f"{counted(number, 'row')} with an empty {what}"
        told.append(f"{rows} left out (the first: {first})")
    keep = ~empty
    for text in leave_out:
        unwanted = np.array([value == text for value in texts[0].tolist()])
        told.append(f"{unwanted.sum():,} times {faults.quoted(text)} left out [--leave-out]")
        keep &= ~unwanted
    return keep, told


def _absent(values: np.ndarray) -> np.ndarray:
    return np.array([value is None for value in values.tolist()], dtype=bool)


def _origins(table: TableText) -> TableText:
    """What tells a row's place, without the columns."""
    return replace(table, columns={})


def _fingerprint(table: TableText, *settings: Any) -> str:
    """Of what was read and of all that changes what it is read as."""
    return hashlib.sha256(repr((table.fingerprint, settings)).encode()).hexdigest()
