"""From raw columns to what a model reads, and back from a row that a person typed: the preprocessing of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradus.data import columns as kinds
from gradus.data.columns import Category, Column, Number, Raw, Target
from gradus.data.history import History
from gradus.data.tokens import Tokens
from gradus.errors import UserError, nearest


@dataclass(frozen=True)
class Encoder:
    """The columns that a model reads, in the order in which it reads them, and the one that it predicts.

    ``reply`` is the vocabulary that it answers in, where its answer is a text.
    """

    columns: tuple[Column, ...]
    target: Target
    reply: Tokens | None = None

    def encode(self, raw: Raw, *, one_hot: bool = False) -> np.ndarray:
        """Raw columns as float32: (rows, inputs) for a table, (rows, *shape) for one array column; texts as int64 ids.

        Coded categories come last, so that a model finds them at the end of a row.
        """
        parts = [c.encode(raw[c.name], one_hot=one_hot) for c in self.columns]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    @property
    def categories(self) -> tuple[int, ...]:
        """How many codes each coded category has; they are the last columns of the encoded row."""
        return tuple(c.size for c in self.columns if isinstance(c, Category) and c.encoding == "code")

    @property
    def is_table(self) -> bool:
        """Whether a row has named columns, rather than being one array."""
        return isinstance(self.columns[0], Number | Category | kinds.Text)

    def raw_rows(self, rows: Sequence[Any] | np.ndarray) -> Raw:
        """Rows as a person gives them (dicts of a table, arrays otherwise) as raw columns; a missing key is missing.

        Raises:
            UserError: for a name that the model has never seen, or a number that isn't one.
        """
        if len(rows) == 0:
            raise UserError("nothing to predict: give at least one row.")
        column = self.columns[0]
        if isinstance(column, History):
            return column.raw_rows(rows)
        if isinstance(column, Tokens):
            return {column.name: np.array([_text(row, column.name, n) for n, row in enumerate(rows, 1)], dtype=object)}
        if not self.is_table:
            return {column.name: np.stack([np.asarray(row) for row in rows])}
        known = [c.name for c in self.columns]
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise UserError(f"row {number}: give the values by column name, as in {{'{known[0]}': …}}.")
            for name in row:
                if name not in known and name != self.target.name:
                    raise UserError(f"row {number}: no column '{name}'.{nearest(str(name), known)}")
        return {c.name: _values(c, [row.get(c.name) for row in rows]) for c in self.columns}

    def to_json(self) -> dict[str, Any]:
        reply = None if self.reply is None else kinds.to_json(self.reply)
        return {"columns": [kinds.to_json(c) for c in self.columns], "target": asdict(self.target), "reply": reply}

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> Encoder:
        target: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec["target"].items()}
        reply = kinds.from_json(spec["reply"]) if spec.get("reply") else None
        assert reply is None or isinstance(reply, Tokens)
        return cls(tuple(kinds.from_json(c) for c in spec["columns"]), Target(**target), reply)


def _text(row: Any, name: str, number: int) -> str:
    """A row as a person gives it, a text or a mapping that holds one."""
    if isinstance(row, Mapping):
        if name not in row:
            raise UserError(f"row {number}: no column '{name}'.{nearest(name, [str(key) for key in row])}")
        row = row[name]
    if not isinstance(row, str):
        raise UserError(f"row {number}: a {type(row).__name__} where the model reads a text.")
    return row


def _values(column: Column, values: list[Any]) -> np.ndarray:
    if not isinstance(column, Number):
        return np.array([None if _missing(v) else str(v) for v in values], dtype=object)
    out = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if not _missing(value):
            try:
                out[row] = float(value)
            except (TypeError, ValueError):
                raise UserError(
                    f"row {row + 1}, column '{column.name}': {value!r} is not a number. Give a number, or leave it out."
                ) from None
    return out


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))
