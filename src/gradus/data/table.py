"""Any table as a dataset: each column's kind inferred and told, its faults named with their row.

The kinds and why they were chosen are in ``notes``, which training prints; ``kinds`` and ``drop`` override them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradus.data import splits as cut
from gradus.data.columns import Category, Column, Number, Raw, Target, Text
from gradus.data.dataset import MemoryDataset, encode_targets
from gradus.data.encoder import Encoder
from gradus.data.history import History
from gradus.data.read import MISSING, TableText, read_file, read_frame
from gradus.errors import UserError, nearest

COLUMN_KINDS = ("number", "category", "text", "drop")


@dataclass(frozen=True)
class Kind:
    """What a column was taken for and why, as an error tells it, and what is worth telling of it in passing."""

    kind: str
    reason: str
    detail: str = ""


def table(
    source: Any,
    target: str | None = None,
    *,
    valid: float | str | Path = 0.1,
    test: float | str | Path = 0.2,
    seed: int = 0,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    categories: str = "one_hot",
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    drop_missing_target: bool = False,
) -> MemoryDataset:
    """A table as a dataset: columns typed, split, normalised by the training rows.

    Args:
        source: a CSV, TSV (both also gzipped) or Parquet file, a polars or pandas data frame, a Hugging Face
            dataset, or a dict of columns.
        target: the column to predict; None takes the last one.
        valid, test: a fraction of the rows (stratified by class), or a file of the same columns.
        seed: of the split by fractions.
        kinds: column → "number", "category", "text" or "drop", where the inferred kind is wrong.
        drop: columns that the model must not see.
        categories: "one_hot" (one input a level) or "code" (one input, for ``MLP(..., categories=...)``).
        header: whether the first row names the columns; None decides by looking.
        separator: between two fields; None decides by looking.
        encoding: of the files; None takes what their first bytes tell, else UTF-8.
        drop_missing_target: leave out rows without a target instead of refusing them.

    Raises:
        UserError: for anything in the file or the arguments that cannot be used, with its row and column.
    """
    if categories not in ("one_hot", "code"):
        raise UserError(f"categories is 'one_hot' or 'code', not '{categories}'.")
    text, parts = _read_parts(source, valid, test, header=header, separator=separator, encoding=encoding)
    columns = dict(text.columns)
    target = target if target is not None else list(columns)[-1]
    if target not in columns:
        raise UserError(f"{text.source}: no column '{target}' to predict.{nearest(target, columns)}")
    goal = columns.pop(target)
    keep = _rows_with_target(text, target, goal, drop_missing_target)
    notes = [f"{np.sum(~keep)} rows without '{target}' left out"] if not keep.all() else []
    goal, parts = goal[keep], parts[keep]
    overrides = _checked_kinds(text.source, columns, kinds or {}, drop)
    raw: Raw = {}
    chosen: dict[str, str] = {}
    told: dict[str, list[str]] = {}  # kind → columns, for the notes
    for name, values in columns.items():
        found = overrides.get(name) or infer_kind(values)
        told.setdefault(found.kind, []).append(f"{name} ({found.detail})" if found.detail else name)
        if found.kind == "drop":
            continue
        chosen[name] = found.kind
        raw[name] = as_numbers(values, name, text, found.reason)[keep] if found.kind == "number" else values[keep]
    if not raw:
        raise UserError(f"{text.source}: no column is left to predict '{target}' from; see --kind and --drop.")
    notes += [f"{_TOLD[kind]}: {_some(columns)} [--kind]" for kind, columns in told.items()]
    raw_targets, spec = _read_target(text, target, goal)

    def fit(raw: Raw, targets: np.ndarray, train: np.ndarray) -> Encoder:
        fitted = [_fit(chosen[name], name, values[train], categories) for name, values in raw.items()]
        fitted.sort(key=lambda c: isinstance(c, Category) and c.encoding == "code")  # codes last; the order else kept
        goal = spec
        if not spec.labels:
            std = float(targets[train].std())
            goal = Target(spec.name, (), float(targets[train].mean()), std or 1.0, spec.reason)
        return Encoder(tuple(fitted), goal)

    fractions = {
        "valid": valid if isinstance(valid, float | int) else 0.0,
        "test": test if isinstance(test, float | int) else 0.0,
    }
    splits = _splits(parts, fractions, seed, raw_targets if spec.labels else None)
    if spec.labels and len(np.unique(raw_targets[splits["train"]])) < 2:
        raise UserError(f"{text.source}: the training split holds one class of '{target}' only; give more rows.")
    return MemoryDataset(
        f"{text.source} → {target}", raw, raw_targets, fit, splits, fingerprint=text.fingerprint, notes=notes
    )


def rows_of(source: Any, encoder: Encoder) -> list[Any]:
    """The rows of a table with the columns that an encoder reads; other columns are left aside.

    An encoder of a series reads the whole table as one history.

    Raises:
        UserError: where one of its columns is missing.
    """
    if isinstance(encoder.columns[0], History):
        return [_read(source)]
    raw = _raw_like(_read(source), encoder)
    return [dict(zip(raw, values, strict=True)) for values in zip(*(v.tolist() for v in raw.values()), strict=True)]


def labelled(source: Any, encoder: Encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """A table's rows and targets as an encoder reads them: (rows, inputs) and (rows,).

    Raises:
        UserError: where a column is missing, or a target isn't one that the encoder knows.
    """
    text, target = _read(source), encoder.target
    if target.name not in text.columns:
        raise UserError(
            f"{text.source}: no column '{target.name}' to measure against.{nearest(target.name, text.columns)}"
        )
    goal = text.columns[target.name]
    _rows_with_target(text, target.name, goal, False)
    if not target.labels:
        values = as_numbers(goal, target.name, text, "the target is a number")
        return torch.from_numpy(encoder.encode(_raw_like(text, encoder))), encode_targets(target, values)
    codes = np.empty(len(goal), dtype=np.int64)
    for row, value in enumerate(goal.tolist()):
        label = value if value in target.labels else _plain(value)
        if label not in target.labels:
            raise UserError(
                f"{text.place(row)}, column '{target.name}': '{value}' is no class of the run: "
                f"{', '.join(target.labels)}."
            )
        codes[row] = target.labels.index(label)
    return torch.from_numpy(encoder.encode(_raw_like(text, encoder))), encode_targets(target, codes)


def infer_kind(values: np.ndarray) -> Kind:
    """A column's kind from its values (str or None): number, category, text, or "drop" for what teaches nothing."""
    present = [v for v in values.tolist() if v is not None]
    distinct = set(present)
    if len(distinct) <= 1:
        why = "always the same" if present else "always empty"
        return Kind("drop", why, why)
    told = [v for v in present if v.lower() not in MISSING]
    numbers = [v for v in told if _number(v) is not None]
    if told and len(numbers) >= 0.9 * len(told):
        if len(distinct) == len(values) and _counts_up(numbers, len(values)):
            return Kind("drop", "a running number", "a running number")
        missing = f"{len(values) - len(told):,} missing" if len(told) < len(values) else ""
        return Kind("number", f"{len(numbers):,} of {len(told):,} values are numbers", missing)
    if len(distinct) > max(20, 0.2 * len(present)):
        words = Text.fit("", np.array(present, dtype=object)).words
        if not words:
            why = f"{len(distinct):,} different values, no word of which recurs"
            return Kind("drop", why, why)
        return Kind("text", f"it has {len(distinct):,} different values with words that recur", f"{len(distinct):,}")
    return Kind("category", f"it has {len(distinct):,} different values", f"{len(distinct):,}")


def as_numbers(values: np.ndarray, name: str, text: TableText, reason: str = "asked for") -> np.ndarray:
    """Text as float64 with NaN for missing.

    Raises:
        UserError: naming the row of the first value that is no number.
    """
    out = np.full(len(values), np.nan)
    for row, value in enumerate(values.tolist()):
        if value is None or value.lower() in MISSING:
            continue
        number = _number(value)
        if number is None:
            raise UserError(
                f"{text.place(row)}, column '{name}': '{value}' is not a number, but {reason}. "
                f"Mend the value, empty it, or take the column for a category: --kind {name}=category."
            )
        out[row] = number
    return out


def _read_parts(
    source: Any, valid: float | str | Path, test: float | str | Path, **how: Any
) -> tuple[TableText, np.ndarray]:
    """The rows of all files, one below the other, and for each the split that its file stands for ("" for none)."""
    first = read_file(source, **how) if isinstance(source, str | Path) else read_frame(source)
    parts = [""] * len(first)
    for name, given in (("valid", valid), ("test", test)):
        if not isinstance(given, float | int):
            first = first.below(read_file(given, **how))
            parts += [name] * (len(first) - len(parts))
    return first, np.array(parts)


def _rows_with_target(text: TableText, target: str, goal: np.ndarray, drop: bool) -> np.ndarray:
    keep = np.array([v is not None and v.lower() not in MISSING for v in goal.tolist()])
    missing = np.flatnonzero(~keep)
    if len(missing) == len(goal):
        raise UserError(f"{text.source}: column '{target}' is empty in every row; nothing can be learnt from it.")
    if len(missing) and not drop:
        raise UserError(
            f"{text.place(missing[0])}: column '{target}' is empty, the first of "
            f"{len(missing)} rows without a target. Fill them in, or leave them out with --drop-missing-target."
        )
    return keep


def _checked_kinds(
    source: str, columns: Mapping[str, np.ndarray], kinds: Mapping[str, str], drop: Sequence[str]
) -> dict[str, Kind]:
    asked = {**kinds, **dict.fromkeys(drop, "drop")}
    for name, kind in asked.items():
        if name not in columns:
            raise UserError(f"{source}: no column '{name}'.{nearest(name, columns)}")
        if kind not in COLUMN_KINDS:
            raise UserError(f"column '{name}': no kind '{kind}'.{nearest(kind, COLUMN_KINDS)}")
    return {name: Kind(kind, "a number was asked for", "asked for") for name, kind in asked.items()}


def _read_target(text: TableText, name: str, goal: np.ndarray) -> tuple[np.ndarray, Target]:
    """Classes or a number, and why: text and few whole numbers are classes, all else is a number."""
    values = goal.tolist()
    numbers = [_number(v) for v in values]
    distinct = set(values)
    told = [n for n in numbers if n is not None]
    if len(told) == len(numbers):
        distinct_numbers = set(told)
        whole = all(n.is_integer() for n in distinct_numbers)
        if not (len(distinct_numbers) == 2 or (whole and len(distinct_numbers) <= max(2, min(20, len(told) // 20)))):
            reason = f"'{name}' has {len(distinct_numbers):,} different numbers"
            return np.array(told), Target(name, reason=reason)
        ordered = sorted(distinct_numbers)
        labels = [str(int(n)) if whole else str(n) for n in ordered]
        classes = np.searchsorted(np.array(ordered), np.array(told)).astype(np.int64)
    elif len(told) >= 0.9 * len(numbers) and len(distinct) > 20:
        row = next(i for i, n in enumerate(numbers) if n is None)
        raise UserError(
            f"{text.place(row)}, column '{name}': '{values[row]}' is not a number, "
            f"but {len(told):,} of {len(numbers):,} targets are. Mend the value or leave the row out."
        )
    else:
        labels = sorted(distinct)
        code_of = {label: code for code, label in enumerate(labels)}
        classes = np.array([code_of[v] for v in values], dtype=np.int64)
    if len(labels) < 2:
        raise UserError(
            f"{text.source}: column '{name}' holds one class only ('{labels[0]}'); there is nothing to tell apart."
        )
    if len(labels) > max(100, len(values) // 5):
        raise UserError(
            f"{text.source}: column '{name}' has {len(labels):,} different values in {len(values):,} rows, "
            "too many for classes and not numbers. Choose another target."
        )
    return classes, Target(name, tuple(labels), reason=f"'{name}' has {len(labels)} different values")


def _fit(kind: str, name: str, values: np.ndarray, categories: str) -> Column:
    if kind == "number":
        return Number.fit(name, values)
    if kind == "category":
        return Category.fit(name, values, categories)
    return Text.fit(name, values)


def _splits(parts: np.ndarray, fractions: dict[str, float], seed: int, labels: np.ndarray | None) -> cut.Splits:
    """Rows of the source cut by fraction; rows of a file that is a split of its own stay there."""
    free = np.flatnonzero(parts == "")
    inner = cut.by_fraction(len(free), seed=seed, labels=None if labels is None else labels[free], **fractions)
    whole = {name: np.concatenate([free[rows], np.flatnonzero(parts == name)]) for name, rows in inner.items()}
    return {name: np.sort(rows) for name, rows in whole.items()}


_TOLD = {"number": "numbers", "category": "categories", "text": "texts, as their words", "drop": "left out"}


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _read(source: Any) -> TableText:
    return read_file(source) if isinstance(source, str | Path) else read_frame(source)


def _raw_like(text: TableText, encoder: Encoder) -> Raw:
    raw: Raw = {}
    for column in encoder.columns:
        if column.name not in text.columns:
            raise UserError(
                f"{text.source}: no column '{column.name}', which the run reads.{nearest(column.name, text.columns)}"
            )
        values = text.columns[column.name]
        is_number = isinstance(column, Number)
        raw[column.name] = as_numbers(values, column.name, text, "the run reads numbers there") if is_number else values
    return raw


def _plain(text: str) -> str:
    """A number as labels write it: "1.0" as "1"."""
    number = _number(text)
    return text if number is None else str(int(number)) if number.is_integer() else str(number)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _counts_up(numbers: list[str], n: int) -> bool:
    values = np.array([float(v) for v in numbers])
    return len(values) == n and n > 20 and bool(np.all(np.diff(values) == 1))
