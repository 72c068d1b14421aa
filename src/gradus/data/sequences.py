"""Datasets of texts: rows of tokens of unequal length, cut into batches of like length.

What of a row is read and what is to be learnt tells the four apart: a class of each text (``TextClasses``), the next
token (``TextLines``), a label of each token (``TextTags``), another text (``TextPairs``).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeGuard

import numpy as np
import torch
from torch import Tensor

from gradus.data.columns import Raw
from gradus.data.dataset import Batch, Draw, encode_targets
from gradus.data.encoder import Encoder
from gradus.data.order import mix
from gradus.data.ragged import Ragged
from gradus.data.splits import Splits
from gradus.data.token_rows import TokenRows
from gradus.data.tokenised import tokenised
from gradus.data.tokens import IGNORE, Tokens
from gradus.errors import UserError

_ROWS = 0x5017  # what a draw is for: keeps the streams of chance apart
Fit = Callable[[Raw, np.ndarray], Encoder]
"""Fits the vocabularies on the given training rows of the raw columns."""


class TextDataset(TokenRows):
    """Texts in memory, tokenised once with the vocabulary of the training split.

    Args:
        raw: columns of texts, each an object array of str (rows,).
        fit: makes the encoder from the columns and the training rows.
        splits: row numbers by split.
        fingerprint: of what was read; None takes it of the texts.
    """

    def __init__(
        self,
        name: str,
        raw: Raw,
        fit: Fit,
        splits: Splits,
        *,
        notes: Sequence[str] = (),
        fingerprint: str | None = None,
    ) -> None:
        if len(splits["train"]) == 0:
            raise UserError(f"{name}: no texts are left to train on; give more, or smaller valid and test splits.")
        self.name, self.raw, self.splits, self.notes = name, raw, splits, tuple(notes)
        self.fingerprint = fingerprint or fingerprint_of(raw)
        self._read(fit(raw, splits["train"]))

    def _read(self, encoder: Encoder) -> None:
        """The rows as an encoder reads them."""
        self.encoder, self.target = encoder, encoder.target
        self.source = self._rows(self.tokens)
        self.lengths = self.source.lengths

    def _rows(self, column: Tokens) -> Ragged:
        return tokenised(column, self.raw[column.name], self.fingerprint)

    @property
    def reply(self) -> Tokens:
        """The vocabulary that is answered in."""
        return self.encoder.reply or self.tokens

    def encoded_by(self, encoder: Encoder) -> Self:
        other = copy.copy(self)
        other._device = torch.device("cpu")
        other._read(encoder)
        return other

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        return {name: str(values[row]) for name, values in self.raw.items()}

    def describe(self) -> str:
        counts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        lengths = self.source.lengths
        form = f"{lengths.mean():.3g} tokens each ({lengths.min():,} to {lengths.max():,})"
        return f"{self.name}: {len(self):,} texts of {form}, {self.tokens.size:,} different; {counts}"


class TextClasses(TextDataset):
    """A class of each text. Inputs are ids (batch, time), targets int64 classes or float 0/1, (batch,).

    Args:
        raw_targets: int64 classes (rows,).
    """

    def __init__(self, name: str, raw: Raw, raw_targets: np.ndarray, fit: Fit, splits: Splits, **options: Any) -> None:
        self.raw_targets = raw_targets
        super().__init__(name, raw, fit, splits, **options)

    def _read(self, encoder: Encoder) -> None:
        super()._read(encoder)
        self.targets = encode_targets(self.target, self.raw_targets)

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        inputs = self.source.padded(indices.numpy())
        return self._given(inputs, self.targets.index_select(0, indices), indices, len(indices))

    def encoded_by(self, encoder: Encoder) -> Self:
        if encoder.target.labels != self.target.labels:
            raise UserError(
                f"{self.name}: the classes are {', '.join(self.target.labels)}; the run's are "
                f"{', '.join(encoder.target.labels)}."
            )
        return super().encoded_by(encoder)


class TextLines(TextDataset):
    """The next token of each text. Inputs are ids (batch, time), targets the ids one further on, (batch, time)."""

    @property
    def num_outputs(self) -> int:
        return self.tokens.size

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        rows = indices.numpy()
        inputs = self.source.padded(rows, self.tokens.pad_id, drop=1)
        targets = self.source.padded(rows, IGNORE, first=1)
        return self._given(inputs, targets, indices, int(self.source.lengths_of(rows).sum()) - len(rows))


class TextCorpus(TextLines):
    """The next token of a text of any size: its tokens lie in a memory map, and the text itself isn't kept.

    Args:
        read: the rows, and their numbers by split, as an encoder reads them.
        buckets: whether batches are made of rows of like length; not needed where all are of one.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        read: Callable[[Encoder], tuple[Ragged, Splits]],
        *,
        fingerprint: str,
        notes: Sequence[str],
        buckets: bool,
    ) -> None:
        self.name, self.raw, self.fingerprint, self.notes = name, {}, fingerprint, tuple(notes)
        self._rows_by, self._buckets = read, buckets
        self._read(encoder)

    def _read(self, encoder: Encoder) -> None:
        self.encoder, self.target = encoder, encoder.target
        self.source, self.splits = self._rows_by(encoder)
        if len(self.splits["train"]) == 0:
            raise UserError(
                f"{self.name}: {len(self.source.flat):,} tokens leave no row to train on; give more text, shorter rows "
                "(length=…), or smaller valid and test shares."
            )
        self.lengths = self.source.lengths if self._buckets else None
        self.steps = int(self.source.lengths_of(self.splits["train"][:1])[0])

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        """Rows of the text. From the second epoch on, those of training are cut elsewhere in each (``shifted``)."""
        if not self._shifts(draw):
            return super().batch(indices, draw)
        begins = self.shifted(indices.numpy(), draw)
        read = torch.from_numpy(self.source.flat[begins[:, None] + np.arange(self.steps)].astype(np.int64))
        return self._given(read[:, :-1], read[:, 1:], indices, len(read) * (self.steps - 1))

    def shifted(self, rows: np.ndarray, draw: Draw) -> np.ndarray:
        """Where in the text these rows of training begin in an epoch, int64 (rows,): all by as much further on.

        Read often, a text cut at the same places again and again is learnt by heart sooner. The last row is moved on
        only as far as the training text goes.
        """
        inner = self.steps - 1
        last = int(self.source.starts[len(self.splits["train"]) - 1])
        return np.asarray(np.minimum(self.source.starts[rows] + mix(draw.seed, draw.epoch, _ROWS) % inner, last))

    def row_words(self, row: int, draw: Draw | None = None) -> dict[str, Any]:
        if not self._shifts(draw):
            return {self.tokens.name: self.tokens.decode(self.source[row])}
        begin = int(self.shifted(np.array([row]), draw)[0])
        return {self.tokens.name: self.tokens.decode(self.source.flat[begin : begin + self.steps])}

    def _shifts(self, draw: Draw | None) -> TypeGuard[Draw]:
        return not self._buckets and draw is not None and draw.epoch > 0

    def describe(self) -> str:
        counts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        size, rows = len(self.source.flat), f"{len(self):,} rows of {len(self.source.flat) / len(self):.3g}"
        return f"{self.name}: {size:,} tokens, {self.tokens.size:,} different, in {rows}; {counts}"


class TextTags(TextDataset):
    """A label of each token. Inputs are ids (batch, time), targets ids of the labels' vocabulary, (batch, time)."""

    def _read(self, encoder: Encoder) -> None:
        super()._read(encoder)
        self.labels_of = self._rows(self.reply)
        wrong = np.flatnonzero(self.labels_of.lengths != self.source.lengths)
        if len(wrong):
            row = int(wrong[0])
            raise UserError(
                f"{self.name}, text {row + 1}: {self.source.lengths[row]} tokens but {self.labels_of.lengths[row]} "
                "labels; give one label a token."
            )

    @property
    def num_outputs(self) -> int:
        return self.reply.size

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        rows = indices.numpy()
        targets = self.labels_of.padded(rows, IGNORE)
        return self._given(self.source.padded(rows), targets, indices, int(self.source.lengths[rows].sum()))


class TextPairs(TextDataset):
    """Another text of each text: inputs are the source's ids (batch, time) and those of the answer so far
    (batch, steps), which begin with ``<bos>``; targets are the answer's ids up to ``<eos>``, (batch, steps).
    """

    def _read(self, encoder: Encoder) -> None:
        super()._read(encoder)
        self.answers = self._rows(self.reply)
        self.lengths = np.stack([self.source.lengths, self.answers.lengths - 1], axis=1)

    @property
    def num_outputs(self) -> int:
        return self.reply.size

    def batch(self, indices: Tensor, draw: Draw | None = None) -> Batch:
        rows = indices.numpy()
        inputs = self.source.padded(rows), self.answers.padded(rows, drop=1)
        targets = self.answers.padded(rows, IGNORE, first=1)
        return self._given(inputs, targets, indices, int(self.answers.lengths[rows].sum()) - len(rows))


def fingerprint_of(raw: Raw) -> str:
    """A hash of columns of texts."""
    digest = hashlib.sha256()
    for name, values in raw.items():
        digest.update(f"{name} {len(values)}\n".encode())
        digest.update("\n".join(values.tolist()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
