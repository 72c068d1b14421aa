"""Which column of a table is the text, which the label, which the split: found by looking, told, or refused.

Labels are the values that recur; the text is the longest of what is left. Names that people give such columns decide
where several would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradus.data.picture_files import SPLITS
from gradus.data.read import SEPARATORS, TableText
from gradus.errors import UserError, nearest

PARTS = {**SPLITS, "dev": "valid", "development": "valid", "eval": "valid"}
"""What the splits are called, in columns and in the names of files and folders."""

LABELS = ("label_text", "label_name", "label", "class", "target", "category", "sentiment", "topic", "emotion", "intent",
          "polarity", "stars", "rating", "language", "y")  # fmt: skip
LANGUAGES = ("english", "french", "german", "spanish", "italian", "portuguese", "russian", "chinese", "japanese")
SIDES = frozenset(
    (*LANGUAGES, "en", "fr", "de", "es", "it", "pt", "ru", "zh", "ja", "source", "target", "src", "tgt", "trg", "input",
     "output", "question", "answer", "original", "translation")
)  # fmt: skip
"""What the sides of a pair are called in a header."""

TEXTS = ("text", "sentence", "review", "content", "body", "comment", "title", "description", "message", "tweet", "name")


@dataclass(frozen=True)
class Chosen:
    """The columns that are read, and what is told of the choice."""

    text: tuple[str, ...]
    target: str
    part: str | None
    notes: tuple[str, ...]


def with_header(table: TableText, wanted: Sequence[str]) -> TableText:
    """A labelled table whose file doesn't say whether its first row is names; it is told by looking.

    It is no header where its label is one of the labels below; else it is where it reads like names.

    Args:
        wanted: columns that the person named: a row that holds one of them is the header.
    """
    if table.named or len(table) < 2:
        return table
    first = [str(values[0] or "") for values in table.columns.values()]
    if set(wanted) & set(first):
        return table.headed()
    if set(wanted) & set(table.columns):
        return table
    below = [values[1:] for values in table.columns.values()]
    held = [(cell, set(values.tolist())) for cell, values in zip(first, below, strict=True) if _is_filled(values)]
    cell, labels = min(held, key=lambda one: len(one[1]), default=("", {""}))
    return table.headed() if cell not in labels and _reads_like_names(first) else table


def with_side_names(table: TableText, wanted: Sequence[str]) -> TableText:
    """A table of pairs likewise: its first row is the header where it names languages or sides."""
    first = {str(values[0] or "").lower() for values in table.columns.values()}
    is_header = first & {name.lower() for name in wanted} if wanted else first <= SIDES
    return table.headed() if not table.named and is_header and len(table) > 1 else table


def labelled_columns(table: TableText, text: Sequence[str], target: str | None) -> Chosen:
    """The columns of a table of texts with labels.

    Raises:
        UserError: where a named column isn't there, or no column or several look like labels.
    """
    known(table, [*text, *([target] if target else [])])
    part = next((n for n, values in table.columns.items() if n not in (*text, target) and _tells_parts(values)), None)
    rest = [n for n in table.columns if n not in (part, *text)]
    if len(table.columns) - (part is not None) < 2:
        raise UserError(one_column(table, "so no label beside a text"))
    label = target or _label_of(table, rest)
    free = [n for n in rest if n != label]
    if not text and not free:
        raise UserError(f"{table.source}: no column is left for the text beside the label '{label}'.")
    chosen = tuple(text) or (max(free, key=lambda name: _mean_length(table.columns[name])),)
    notes = []
    if not (text and target):
        left = [n for n in free if n not in chosen]
        unread = f", not read: {', '.join(left[:6])}{', …' if len(left) > 6 else ''}" if left else ""
        notes.append(f"text: {', '.join(chosen)}, label: {label}{unread} [--text, --target]")
    if not (text and target) and not table.named and table.unit == "row":
        notes.append("the first row is a sample, not the names of the columns [--header]")
    if part:
        notes.append(f"the splits are those of column {part}")
    return Chosen(chosen, label, part, tuple(notes))


def pair_columns(table: TableText, columns: Sequence[str]) -> tuple[tuple[str, str], str | None]:
    """The two columns of a table of pairs, and a note of what is left aside.

    Two columns are the pair. A third one is left aside where it tells where each row comes from, as Tatoeba's does.

    Raises:
        UserError: where there is one, or more than two and none are named.
    """
    known(table, columns)
    if len(columns) == 2:
        return (columns[0], columns[1]), None
    if columns:
        raise UserError(f"a pair has two columns, not {len(columns)}: {', '.join(columns)}.")
    names = list(table.columns)
    if len(names) == 1:
        raise UserError(one_column(table, "where a pair has two"))
    if len(names) == 3 and _is_attribution(table.columns[names[2]]):
        return (names[0], names[1]), "the third column, which tells where each pair comes from, was left aside"
    if len(names) > 2:
        raise UserError(
            f"{table.source}: {len(names)} columns, where a pair has two: {', '.join(names[:8])}. Name the two with "
            f"--columns {names[0]} --columns {names[1]}."
        )
    return (names[0], names[1]), None


def known(table: TableText, names: Sequence[str]) -> None:
    """Raises a UserError for a column that the table hasn't."""
    for name in names:
        if name not in table.columns:
            raise UserError(f"{table.source}: no column '{name}'.{nearest(name, table.columns)}")


def one_column(table: TableText, so: str) -> str:
    """What is said of a table of one column."""
    tried = ", ".join(SEPARATORS.values())
    value = next((str(v) for v in next(iter(table.columns.values())) if v), "")
    hint = f"Between the fields {tried} were tried; name what stands there with --separator. "
    if table.named:
        hint = "If something else stands between its fields, name that with --separator. "
    return f"{table.source}: one column only, {so}. {hint}It starts with {value[:40]!r}."


def parts_of(values: np.ndarray) -> np.ndarray:
    """The column of splits under their usual names: "train", "valid", "test", or "" where it is empty."""
    return np.array([PARTS.get(str(v or "").lower(), "") for v in values.tolist()])


def _reads_like_names(cells: Sequence[str]) -> bool:
    """Whether all are single words, or one, no longer than names are, holds a word that columns are called by."""
    words = [cell.lower().replace("_", " ").split() for cell in cells if cell]
    usual = {*LABELS, *TEXTS}
    return (len(words) > 1 and all(len(w) == 1 for w in words)) or any(len(w) <= 3 and usual & set(w) for w in words)


def _tells_parts(values: np.ndarray) -> bool:
    told = {v.lower() for v in set(values.tolist()) if v is not None}
    return len(told) > 1 and told <= set(PARTS)


def _label_of(table: TableText, names: list[str]) -> str:
    counts = {name: _distinct(table.columns[name]) for name in names}
    names = [n for n in names if _is_filled(table.columns[n])] or names
    recurring = [n for n in names if 2 * counts[n] <= len(table)]
    recurring = [n for n in recurring if counts[n] > 1] or recurring
    named = [n for among in (recurring, names) for word in LABELS for n in among if n.lower() == word]
    if named:
        return named[0]
    if len(recurring) == 1:
        return recurring[0]
    fewest = sorted(names, key=lambda n: counts[n])
    if len(names) <= 2 and counts[fewest[0]] < counts[fewest[-1]]:
        return fewest[0]
    if recurring:
        raise UserError(
            f"{table.source}: the label could be any of {', '.join(recurring)}. Name it with --target {fewest[0]}."
        )
    raise UserError(
        f"{table.source}: no column has values that recur, as labels do: {', '.join(names[:8])}. Name it with --target."
    )


def _distinct(values: np.ndarray) -> int:
    return len(set(values.tolist()) - {None})


def _is_filled(values: np.ndarray) -> bool:
    return 2 * sum(v is not None for v in values.tolist()) > len(values)


def _mean_length(values: np.ndarray) -> float:
    return sum(len(v) for v in values.tolist() if v) / max(len(values), 1)


def _is_attribution(values: np.ndarray) -> bool:
    return all(v is not None and v.startswith(("CC-BY", "CC BY", "tatoeba", "http")) for v in values.tolist())
