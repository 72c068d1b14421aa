"""Splits of texts: no group on two sides, whatever the order of the rows; what the source tells stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_texts import refused

from gradus.data.text_splits import split_by_group
from gradus.errors import UserError

KEYS = st.lists(st.text(max_size=2), min_size=1, max_size=60)
FRACTIONS = st.sampled_from([0.0, 0.1, 0.25, 0.4])


@settings(deadline=None)
@given(KEYS, FRACTIONS, FRACTIONS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_no_group_is_on_two_sides_in_any_order(keys, valid, test, seed, random) -> None:  # type: ignore[no-untyped-def]
    def side_of(order: list[int]) -> dict[str, str] | None:
        these = np.array([keys[row] for row in order], dtype=object)
        try:
            splits = split_by_group(these, np.full(len(these), ""), valid=valid, test=test, seed=seed)
        except UserError:  # too few groups, as another test says
            return None
        rows = np.concatenate([splits[name] for name in ("train", "valid", "test")])
        assert sorted(rows.tolist()) == list(range(len(keys)))
        sides = [(these[row], name) for name, held in splits.items() for row in held]
        assert len(set(sides)) == len(set(keys))
        largest = max(Counter(keys).values())
        for name, fraction in (("valid", valid), ("test", test)):
            assert abs(len(splits[name]) - fraction * len(keys)) <= largest
        return dict(sides)

    order = list(range(len(keys)))
    first = side_of(order)
    random.shuffle(order)
    assert side_of(order) == first


def test_groups_have_their_fractions_and_other_seeds_other_sides() -> None:
    keys = np.array([f"sentence {row % 7_000}" for row in range(10_000)], dtype=object)
    parts = np.full(len(keys), "")
    sizes = {name: len(rows) for name, rows in split_by_group(keys, parts, valid=0.1, test=0.2, seed=1).items()}
    assert sizes["test"] == pytest.approx(2_000, abs=2)
    assert sizes["valid"] == pytest.approx(1_000, abs=2)
    one, two = (split_by_group(keys, parts, seed=seed)["test"] for seed in (1, 2))
    assert len(np.intersect1d(one, two)) == pytest.approx(400, abs=100)


def test_splits_that_the_source_tells_stay() -> None:
    parts = np.array(["train"] * 500 + ["test"] * 100)
    keys = np.array([f"key {row % 300}" for row in range(600)], dtype=object)
    splits = split_by_group(keys, parts, valid=0.1, test=0.2, seed=0)
    assert splits["test"].tolist() == list(range(500, 600))
    assert abs(len(splits["valid"]) - 50) <= 2
    assert sorted([*splits["train"], *splits["valid"]]) == list(range(500))
    parts[450:500] = "valid"
    assert split_by_group(keys, parts, valid=0.1, test=0.2, seed=0)["valid"].tolist() == list(range(450, 500))
    free = np.array([""] * 500 + ["valid"] * 100)
    splits = split_by_group(keys, free, valid=0.1, test=0.2, seed=0)
    assert len(splits["test"]) > 0
    assert splits["valid"].tolist() == list(range(500, 600))


def test_too_few_groups_are_refused() -> None:
    keys = np.array(["a"] * 50 + ["b"] * 50, dtype=object)
    refused(lambda: split_by_group(keys, np.full(100, "")), ["2 different texts", "too few"])


def test_groups_of_each_label_are_cut_in_proportion() -> None:
    keys = np.array([f"{row % 900}" for row in range(1000)], dtype=object)
    labels = np.array(["abc"[min(int(key) % 20, 2)] for key in keys], dtype=object)
    splits = split_by_group(keys, np.full(1000, ""), labels=labels, valid=0.1, test=0.2, seed=5)
    for label, size in Counter(labels.tolist()).items():
        held = {name: int((labels[rows] == label).sum()) for name, rows in splits.items()}
        assert abs(held["test"] - 0.2 * size) <= 2, (label, held)
        assert abs(held["valid"] - 0.1 * size) <= 2, (label, held)
    for one, two in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(keys[splits[one]]) & set(keys[splits[two]])
    rare = np.array([f"{row % 20}" for row in range(40)], dtype=object)  # labels of two rows each
    splits = split_by_group(np.array([str(row) for row in range(40)], dtype=object), np.full(40, ""), labels=rare)
    assert set(rare[splits["train"]]) == set(rare)
    assert 4 <= len(splits["test"]) <= 12


def test_what_is_no_fraction_is_refused() -> None:
    keys = np.array(["a", "b", "c", "d"], dtype=object)
    refused(lambda: split_by_group(keys, np.full(4, ""), valid=0.6, test=0.5), ["valid 0.6", "test 0.5"])
