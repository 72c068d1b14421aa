"""Texts packed into rows: all of them once, none too full, as best fit decreasing by its plain definition has them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gradus.data.packing import pack, padding


def plain_best_fit(lengths: list[int], room: int) -> list[list[int]]:
    """Best fit decreasing, looking through all rows for each text."""
    rows: list[list[int]] = []
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        left = {row: room - sum(lengths[i] for i in texts) for row, texts in enumerate(rows)}
        fitting = {row: space for row, space in left.items() if space >= lengths[text]}
        if fitting:
            rows[min(fitting, key=lambda row: fitting[row])].append(text)
        else:
            rows.append([text])
    return rows


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 60))
def test_it_is_best_fit_decreasing(lengths: list[int], room: int) -> None:
    found = pack(np.array(lengths, dtype=np.int64), room)
    assert sorted(found.flat.tolist()) == list(range(len(lengths)))
    sums = [sum(lengths[i] for i in found[row]) for row in range(len(found))]
    assert all(total <= room for total in sums)
    plain = plain_best_fit(lengths, room)
    assert sorted(sums) == sorted(sum(lengths[i] for i in row) for row in plain)


def test_next_to_nothing_is_padding_where_texts_are_many() -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(4, 0.7, 20_000).astype(np.int64), 1, 256)
    found = pack(lengths, 256)
    assert padding(lengths, len(found), 256) < 0.01
    assert np.array_equal(found.flat, pack(lengths, 256).flat)


def test_of_nothing_there_is_no_row() -> None:
    assert len(pack(np.empty(0, dtype=np.int64), 8)) == 0
    assert padding(np.empty(0, dtype=np.int64), 0, 8) == 0.0
