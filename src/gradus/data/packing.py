"""Packing: texts of unequal length put into rows of one length, so that next to nothing of a row is padding."""

from __future__ import annotations

import numpy as np

from gradus.data.ragged import Ragged


def pack(lengths: np.ndarray, room: int) -> Ragged:
    """Which texts share a row, by best fit decreasing: the longest first, each into the fullest row that has room.

    It takes about a microsecond a text: the rows are kept by the room that they have left, and a whole number's bits
    tell in which rooms there are any.

    Args:
        lengths: of the texts, int64 (texts,), each from 1 to ``room``.
        room: how much a row holds.

    Returns:
        Row by row the numbers of its texts; a pure function of the lengths.
    """
    order = np.argsort(-lengths, kind="stable")
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(room + 1)]  # the rows that have so much left
    there = 0  # bit n: whether any row has n left
    for text, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = there >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1  # the lowest bit: the fullest row that has room
            row = with_room[left].pop()
            if not with_room[left]:
                there ^= 1 << left
            rows[row].append(text)
        else:
            left, row = room, len(rows)
            rows.append([text])
        with_room[left - length].append(row)
        there |= 1 << (left - length)
    return Ragged.of(rows, np.int64)


def padding(lengths: np.ndarray, rows: int, room: int) -> float:
    """The share of the rows that is filled by no text."""
    return 1 - float(lengths.sum()) / (rows * room) if rows else 0.0
