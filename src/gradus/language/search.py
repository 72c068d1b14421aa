"""Which passages answer a question: by their words (BM25), by meaning (embeddings), or by both rankings together.

What is found by words must hold a good share of what the question asks for, counted by how rare the words are; else
nothing is found, and that is said rather than that the best of the wrong passages is shown.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradus.language.words import Asked, asked

CANDIDATES = 100  # passages that each ranking gives
SHARE = 0.5  # of what is asked for that a passage must hold; tests/test_ask_handbook.py measures what that tells apart
PLACE_WEIGHT = 1.5  # of a word in the headings above a passage, where one in its text weighs 1
NAME, STRANGE, HEADED = 3.0, 6.0, 2.0  # how much more counts a name, one that no passage has, a word of a heading
ENOUGH = 300  # passages; that a word is rare among fewer tells little, and so it is told as among as many
RANKING = 0.5  # the weight of BM25, as a share of its best, beside the share of what is asked for
FUSION = 60  # reciprocal rank fusion's constant (Cormack, Clarke and Buettcher 2009)
FEW = 20  # passages, from which on one can be said to stand out among them


@dataclass(frozen=True)
class Hit:
    """A passage by its number, and the share or cosine that it was found with."""

    passage: int
    score: float


def by_words(database: sqlite3.Connection, question: str, least: float = SHARE) -> list[Hit]:
    """The passages that answer a question best by their words; those that hold too little of it are left out.

    Args:
        least: the share of what is asked for that a passage must hold.
    """
    things = asked(question)
    total = database.execute("SELECT count(*) FROM passages").fetchone()[0]
    counts = {word: _count(database, word) for thing in things for word in thing.words}
    known = [word for word, count in counts.items() if count]
    telling = [word for word in known if counts[word] <= total / 2] or known
    if not telling:
        return []
    rows = database.execute(
        "SELECT rowid, bm25(words, ?, 1.0) AS worse FROM words WHERE words MATCH ? ORDER BY worse LIMIT ?",
        (PLACE_WEIGHT, " OR ".join(map(_quoted, telling)), CANDIDATES),
    ).fetchall()
    numbers = [number for number, _ in rows]
    best = rows[0][1]  # SQLite's BM25 is below zero, and the lowest is the best
    headed = {word for word in known if _count(database, word, "place :")}
    weights = [_weight(thing, counts, headed, total) for thing in things]
    shares = _shares(database, numbers, things, weights, known)
    ranked = sorted(rows, key=lambda row: (-shares[row[0]] - RANKING * row[1] / best, row[0]))
    return [Hit(number, shares[number]) for number, _ in ranked if shares[number] >= least]


def _count(database: sqlite3.Connection, word: str, where: str = "") -> int:
    """How many passages have a word."""
    query = "SELECT count(*) FROM words WHERE words MATCH ?"
    count: int = database.execute(query, (f"{where}{_quoted(word)}",)).fetchone()[0]
    return count


def _weight(thing: Asked, counts: dict[str, int], headed: set[str], total: int) -> float:
    """How much a thing counts: by its rareness (BM25's), more where it looks like a name or stands in a heading."""
    count = max(1, *(counts[word] for word in thing.words))
    rareness = math.log(1 + (max(total, ENOUGH) - count + 0.5) / (count + 0.5))
    if thing.is_name:
        return rareness * (NAME if any(counts[word] for word in thing.words) else STRANGE)
    return rareness * (HEADED if headed.intersection(thing.words) else 1.0)


def _shares(
    database: sqlite3.Connection,
    numbers: Sequence[int],
    things: Sequence[Asked],
    weights: Sequence[float],
    known: Sequence[str],
) -> dict[int, float]:
    """Of each passage, by its number, the share of the weight of all things asked for that it holds, from 0 to 1."""
    query = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid IN ({','.join('?' * len(numbers))})"
    having = {word: {row for (row,) in database.execute(query, (_quoted(word), *numbers))} for word in known}
    held = dict.fromkeys(numbers, 0.0)
    for thing, weight in zip(things, weights, strict=True):
        for number in set().union(*(having.get(word, ()) for word in thing.words)):
            held[number] += weight
    return {number: share / sum(weights) for number, share in held.items()}


def _quoted(word: str) -> str:
    return f'"{word}"'  # no word holds a quotation mark


@dataclass(frozen=True)
class Ranking:
    """Passages by the cosine of their embedding and the question's, the best first; so many of them stand out."""

    hits: list[Hit]
    outstanding: int


def by_meaning(numbers: np.ndarray, matrix: np.ndarray, vector: np.ndarray) -> Ranking:
    """Rank passages by meaning.

    What cosine is a high one differs from model to model, and so it is measured against those of all passages with the
    same question: one stands out where it lies further above the median than the highest of as many chance values
    from a normal distribution would, √(2 ln n) deviations, and one more. Of few passages none is said to stand out.

    Args:
        numbers, matrix: of the passages, (passages,), and their vectors of length 1, (passages, width).
        vector: the question's, of length 1, (width,).
    """
    if len(numbers) == 0:
        return Ranking([], 0)
    cosines = matrix @ vector.astype(np.float32)
    order = np.argsort(-cosines, kind="stable")[:CANDIDATES]
    hits = [Hit(int(numbers[place]), float(cosines[place])) for place in order]
    if len(numbers) < FEW:
        return Ranking(hits, 0)
    median = float(np.median(cosines))
    deviation = 1.4826 * float(np.median(np.abs(cosines - median)))  # the median's, which outliers don't move
    least = median + (math.sqrt(2 * math.log(len(numbers))) + 1) * deviation
    return Ranking(hits, sum(hit.score > least for hit in hits))


def fused(words: Sequence[Hit], meaning: Ranking) -> list[Hit]:
    """Both rankings as one: what either found, by the sum of 1 / (60 + its rank) over the two."""
    found = {hit.passage: hit for hit in [*meaning.hits[: meaning.outstanding], *words]}
    sums = dict.fromkeys(found, 0.0)
    for hits in (words, meaning.hits):
        for rank, hit in enumerate(hits, start=1):
            if hit.passage in sums:
                sums[hit.passage] += 1 / (FUSION + rank)
    return [found[passage] for passage in sorted(sums, key=lambda passage: (-sums[passage], passage))]
