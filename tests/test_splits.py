"""Splits are partitions, fair to every class, and functions of the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.data.splits import by_fraction, fold
from gradus.errors import UserError


@given(st.integers(1, 400), st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 99), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_every_row_is_in_exactly_one_split(n: int, valid: float, test: float, seed: int, classes: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, n)
    for given_labels in (None, labels):
        splits = by_fraction(n, valid=valid, test=test, seed=seed, labels=given_labels)
        assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(n))
        again = by_fraction(n, valid=valid, test=test, seed=seed, labels=given_labels)
        assert all((splits[k] == again[k]).all() for k in splits)


def test_stratified_splits_keep_the_shares() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    splits = by_fraction(1000, valid=0.1, test=0.2, seed=3, labels=labels)
    for label, size in ((0, 900), (1, 90), (2, 10)):
        assert (labels[splits["test"]] == label).sum() == pytest.approx(0.2 * size, abs=1)
        assert (labels[splits["valid"]] == label).sum() == pytest.approx(0.1 * size, abs=1)


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_test_every_row_once(folds: int) -> None:
    labels = np.arange(103) % 3
    tested = [fold(103, f, folds, valid=0.1, seed=1, labels=labels) for f in range(folds)]
    assert sorted(np.concatenate([s["test"] for s in tested]).tolist()) == list(range(103))
    for splits in tested:
        assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(103))
        assert len(splits["test"]) == pytest.approx(103 / folds, abs=3)


def test_fractions_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="leave no rows to train on"):
        by_fraction(10, valid=0.5, test=0.5)
    with pytest.raises(UserError, match="folds"):
        fold(10, 0, 11)
