"""Which rows are for training, validation and test: pure functions of the seed, never of what ran before."""

from __future__ import annotations

import numpy as np

from gradus.data.order import permutation
from gradus.errors import UserError

Splits = dict[str, np.ndarray]
"""Row numbers of each split, under "train", "valid" and "test"; sorted, disjoint; valid and test may be empty."""

_SPLIT, _FOLD = 0x5B11, 0xF01D  # what a permutation is for: keeps the streams of chance apart


def by_fraction(
    n: int, *, valid: float = 0.1, test: float = 0.2, seed: int = 0, labels: np.ndarray | None = None
) -> Splits:
    """Cut n rows by chance. With labels each class is cut in the same proportion (stratified)."""
    for name, fraction in (("valid", valid), ("test", test)):
        if not 0 <= fraction < 1:
            raise UserError(f"{name} is a fraction of the rows, from 0 up to 1, not {fraction}.")
    if valid + test >= 1:
        raise UserError(f"valid {valid} and test {test} leave no rows to train on: together they must be below 1.")
    place = _places(n, seed, _SPLIT, labels)
    return {
        "train": np.flatnonzero(place >= valid + test),
        "valid": np.flatnonzero((place >= test) & (place < valid + test)),
        "test": np.flatnonzero(place < test),
    }


def fold(
    n: int, number: int, folds: int, *, valid: float = 0.0, seed: int = 0, labels: np.ndarray | None = None
) -> Splits:
    """Fold ``number`` (from 0) of a k-fold cross-validation: that fold is the test split, the rest is for training.

    ``valid`` is the fraction of the rest that is kept for validation. Every row is in exactly one test split.
    """
    if not 2 <= folds <= n:
        raise UserError(f"folds must be from 2 to the number of rows ({n}), not {folds}.")
    assert 0 <= number < folds
    which = np.minimum((_places(n, seed, _FOLD, labels) * folds).astype(np.int64), folds - 1)
    test, rest = np.flatnonzero(which == number), np.flatnonzero(which != number)
    inner = by_fraction(
        len(rest), valid=valid, test=0.0, seed=seed + 1 + number, labels=None if labels is None else labels[rest]
    )
    return {"train": rest[inner["train"]], "valid": rest[inner["valid"]], "test": test}


def some_rows(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spaced, so that the choice is the same each time."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])


def _places(n: int, seed: int, purpose: int, labels: np.ndarray | None) -> np.ndarray:
    """Each row's place in [0, 1) along a shuffled line; within each class evenly spaced, so that any cut is fair.

    A class's spacing starts at an offset of its own: classes of one row are spread over the line instead of all
    falling into the same split.
    """
    order = permutation(n, seed, purpose)
    if labels is None:
        place = np.empty(n)
        place[order] = (np.arange(n) + 0.5) / n
        return place
    place = np.empty(n)
    shuffled = labels[order]
    for number, label in enumerate(np.unique(labels)):
        rows = order[shuffled == label]
        offset = 0.5 if len(rows) > 10 else ((number + 1) * 0.6180339887498949) % 1.0
        place[rows] = (np.arange(len(rows)) + offset) / len(rows)
    return place
