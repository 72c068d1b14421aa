"""Typed columns: how each kind of raw value becomes numbers, with statistics fitted on training rows only.

A column is raw values in, a float32 array out. What it learnt from the training rows (mean, levels, words) is all
that it holds, and goes to JSON as it is: it is a part of the model. Raw values come as NumPy arrays: float64 with NaN
for a missing number; objects (str or None) for categories and text; arrays of any shape for pictures and sequences.

Kinds: ``number``, ``category`` and ``text`` are columns of a table; ``picture``, ``sequence`` and ``numbers`` are
arrays whose first axis is the sample; ``tokens`` (``tokens.py``) are texts of unequal length.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from gradus.data.tokens import Tokens
from gradus.errors import UserError

Raw = dict[str, np.ndarray]
"""Raw values by column name, all of one length."""

MAX_LEVELS = 64  # a category keeps its most frequent levels, the rest share one
MAX_LINEAR = 1024  # numbers of a picture that a linear model is given
MAX_WORDS = 32  # a text column of a table keeps its most frequent words


class Column(Protocol):
    """What every kind of column answers."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        """Raw values (rows, …) as float32 (rows, width) or, for pictures and sequences, (rows, *shape).

        ``one_hot`` asks for a form that a linear model can read, whatever the column's own form.
        """
        ...

    def describe(self) -> str: ...


@dataclass(frozen=True)
class Number:
    """A number, standardised by the training rows; a missing one becomes their mean, and says so in a second column."""

    kind: ClassVar[str] = "number"
    name: str
    mean: float
    std: float
    flag_missing: bool

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> Number:
        present = values[~np.isnan(values)]
        if len(present) == 0:
            return cls(name, 0.0, 1.0, True)
        return cls(name, float(present.mean()), float(present.std()) or 1.0, len(present) < len(values))

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        missing = np.isnan(values)
        scaled = np.where(missing, 0.0, (values - self.mean) / self.std)
        columns = [scaled, missing] if self.flag_missing else [scaled]
        return np.stack(columns, axis=1).astype(np.float32)

    def describe(self) -> str:
        return f"number, mean {self.mean:.4g}, sd {self.std:.4g}" + (", some missing" if self.flag_missing else "")


@dataclass(frozen=True)
class Category:
    """One of some levels; level 0 stands for missing, unseen and rare ones.

    ``encoding`` is "one_hot" (one column a level) or "code" (the level's number as a float, for an embedding).
    """

    kind: ClassVar[str] = "category"
    name: str
    levels: tuple[str, ...]
    encoding: str = "one_hot"

    @classmethod
    def fit(cls, name: str, values: np.ndarray, encoding: str = "one_hot") -> Category:
        counts = Counter(v for v in values.tolist() if v is not None)
        frequent = sorted(counts, key=lambda level: (-counts[level], level))[:MAX_LEVELS]
        return cls(name, tuple(sorted(frequent)), encoding)

    @property
    def size(self) -> int:
        """How many codes there are: the levels and the one for all else."""
        return len(self.levels) + 1

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        code_of = {level: code for code, level in enumerate(self.levels, start=1)}
        codes = np.array([code_of.get(v, 0) for v in values.tolist()], dtype=np.int64)
        if self.encoding == "code" and not one_hot:
            return codes[:, None].astype(np.float32)
        return np.eye(self.size, dtype=np.float32)[codes]

    def describe(self) -> str:
        shown = ", ".join(self.levels[:6]) + (", …" if len(self.levels) > 6 else "")
        return f"category of {len(self.levels)}: {shown}"


@dataclass(frozen=True)
class Text:
    """Free text in a table, as the presence of its frequent words ("Mr", "Mrs", … of a name), and of any."""

    kind: ClassVar[str] = "text"
    name: str
    words: tuple[str, ...]
    flag_missing: bool = False

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> Text:
        counts = Counter(word for value in values.tolist() for word in set(split_words(value)))
        least = max(3, len(values) // 100)  # a word of fewer rows teaches little
        frequent = [w for w in sorted(counts, key=lambda w: (-counts[w], w)) if counts[w] >= least]
        return cls(name, tuple(frequent[:MAX_WORDS]), any(v is None for v in values.tolist()))

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        place = {word: i for i, word in enumerate(self.words)}
        out = np.zeros((len(values), len(self.words)), dtype=np.float32)
        for row, value in enumerate(values.tolist()):
            for word in split_words(value):
                if word in place:
                    out[row, place[word]] = 1.0
        if not self.flag_missing:
            return out
        missing = np.array([[v is None] for v in values.tolist()], dtype=np.float32)
        return np.concatenate([out, missing], axis=1)

    def describe(self) -> str:
        shown = ", ".join(self.words[:6]) + (", …" if len(self.words) > 6 else "")
        return f"text, presence of {len(self.words)} words: {shown}" + (", some missing" if self.flag_missing else "")


def split_words(text: str | None) -> list[str]:
    return re.findall(r"\w+", text.lower()) if text else []


@dataclass(frozen=True)
class Picture:
    """Pictures as (channels, height, width), any numbers; standardised as a whole by the training rows.

    ``scale`` is the value of full white in the raw numbers: 255 for bytes, 16 for scikit-learn's digits. ``framing``
    is how a picture file of another size is brought to this one: stretch, crop (its middle) or pad (with black).
    """

    kind: ClassVar[str] = "picture"
    name: str
    shape: tuple[int, int, int]
    scale: float
    mean: float
    std: float
    framing: str = "stretch"

    @classmethod
    def fit(cls, name: str, values: np.ndarray, scale: float, framing: str = "stretch") -> Picture:
        channels, height, width = values.shape[1:]
        # exact whatever the number of rows, without a float copy of them all: bytes summed in integers
        total = values.sum(dtype=np.float64) / values.size
        square = np.square(values, dtype=np.float32).sum(dtype=np.float64) / values.size
        mean, std = total / scale, float(np.sqrt(max(square - total * total, 0.0))) / scale
        return cls(name, (channels, height, width), scale, float(mean), std or 1.0, framing)

    @property
    def black(self) -> float:
        """What a raw zero becomes: what is put where a shifted picture has left room."""
        return -self.mean / self.std

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        out: np.ndarray = self.standardise(self.checked(values).astype(np.float32))
        return self._coarse(out) if one_hot else out

    def standardise(self, pictures: Any) -> Any:
        """Raw pictures, an array or a tensor (batch, channels, height, width), as the model reads them, in float32."""
        out = pictures if isinstance(pictures, np.ndarray) else pictures.float()
        out *= 1.0 / (self.scale * self.std)
        out -= self.mean / self.std
        return out

    def raw(self, pictures: np.ndarray) -> np.ndarray:
        """What the model reads, as bytes for a person's eyes: black is 0, full white 255."""
        shares = (pictures * self.std + self.mean) * 255.0
        return np.clip(np.rint(shares), 0, 255).astype(np.uint8)

    def checked(self, values: np.ndarray) -> np.ndarray:
        """The values, where they have the shape that the model reads."""
        if values.shape[1:] != self.shape:
            raise UserError(
                f"column '{self.name}': pictures of shape {values.shape[1:]}, but the model reads {self.shape}."
            )
        return values

    def _coarse(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures averaged over squares to at most ``MAX_LINEAR`` numbers: a linear model gains little from more."""
        factor = 1
        while self.shape[0] * (self.shape[1] // factor) * (self.shape[2] // factor) > MAX_LINEAR:
            factor += 1
        rows, columns = self.shape[1] // factor, self.shape[2] // factor
        cut = pictures[:, :, : rows * factor, : columns * factor]
        means: np.ndarray = cut.reshape(*cut.shape[:2], rows, factor, columns, factor).mean(axis=(3, 5))
        return means

    def describe(self) -> str:
        return f"picture {'×'.join(map(str, self.shape))}, mean {self.mean:.4g}, sd {self.std:.4g}"


@dataclass(frozen=True)
class Numbers:
    """A row of an array, (features,) or any shape: standardised by feature where asked, else as it is."""

    kind: ClassVar[str] = "numbers"
    name: str
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()  # empty: the numbers are taken as they are
    std: tuple[float, ...] = ()

    @classmethod
    def fit(cls, name: str, values: np.ndarray, normalise: bool) -> Numbers:
        shape = tuple(int(n) for n in values.shape[1:])
        if not normalise:
            return cls(name, shape)
        axes = tuple(range(values.ndim - 1))
        std = values.std(axis=axes, dtype=np.float64)
        return cls(
            name,
            shape,
            tuple(np.atleast_1d(values.mean(axis=axes, dtype=np.float64)).tolist()),
            tuple(np.atleast_1d(np.where(std > 0, std, 1.0)).tolist()),
        )

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        if values.shape[1:] != self.shape:
            raise UserError(
                f"column '{self.name}': rows of shape {values.shape[1:]}, but the model reads {self.shape}."
            )
        if self.mean:
            values = (values - np.array(self.mean)) / np.array(self.std)
        return values.astype(np.float32)

    def describe(self) -> str:
        form = f"{self.kind} {'×'.join(map(str, self.shape)) or 'one'}"
        return form + (", standardised" if self.mean else ", as they are")


@dataclass(frozen=True)
class Sequence(Numbers):
    """A sequence (time, features), all of one length; standardised by feature, over time and samples."""

    kind: ClassVar[str] = "sequence"


@dataclass(frozen=True)
class Target:
    """The column to predict: classes by name, or a number, standardised by the training rows where asked."""

    name: str
    labels: tuple[str, ...] = ()  # empty for a number
    mean: float = 0.0
    std: float = 1.0
    reason: str = ""  # why it was read so

    @property
    def num_outputs(self) -> int:
        """How many outputs a model needs: a logit a class, one for two classes, one for a number."""
        return len(self.labels) if len(self.labels) > 2 else 1


KINDS: dict[str, type[Any]] = {c.kind: c for c in (Number, Category, Text, Picture, Numbers, Sequence, Tokens)}


def to_json(column: Column) -> dict[str, Any]:
    return {"kind": column.kind, **asdict(column)}  # type: ignore[call-overload]


def from_json(spec: dict[str, Any]) -> Column:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k != "kind"}
    column: Column = KINDS[spec["kind"]](**fields)
    return column
