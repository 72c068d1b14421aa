"""What is wrong with a set of texts, found by counting and told in short sentences; nothing is taken away here.

A published set keeps its faults, for figures are compared on it as it is; but who reads the figures should know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from gradus.data.clean_text import ESCAPES, counted
from gradus.errors import UserError, nearest

TIMES = 5  # a text that stands there at least so often may be a left-over of the page that the set was taken from
LONG = 100_000  # characters; a longer text is told


def check_labels(labels: Sequence[str], parts: np.ndarray, place: Callable[[int], str]) -> None:
    """Raises a UserError for one label only, far too many, or one that a split of its own has and training hasn't."""
    train = [label for label, part in zip(labels, parts.tolist(), strict=True) if part in ("", "train")]
    known = set(train)
    if len(known) < 2:
        held = f"one label only ({quoted(train[0])})" if train else "no rows"
        raise UserError(f"{_file(place(0))}: {held} to train on; there is nothing to tell apart.")
    if len(known) > max(100, len(train) // 5):
        raise UserError(
            f"{_file(place(0))}: {len(known):,} different labels in {len(train):,} rows are too many for classes. "
            "Name the column of the labels with --target."
        )
    for row, (label, part) in enumerate(zip(labels, parts.tolist(), strict=True)):
        if label not in known:
            raise UserError(
                f"{place(row)}: the label {quoted(label)} of the {part} split doesn't occur in training."
                f"{nearest(label, known)} Mend it, or leave the row out."
            )


def of_labelled(texts: np.ndarray, labels: np.ndarray, parts: np.ndarray, unescaped: bool) -> list[str]:
    """What is told of texts with labels, all (rows,)."""
    shown, names = texts.tolist(), list(dict.fromkeys(labels.tolist()))
    numbers, classes = codes(shown), codes(labels.tolist())
    train = set(labels[~np.isin(parts, ("valid", "test"))].tolist())
    told = set(labels[parts == "test"].tolist())
    alone = sorted(train - told) if told else []
    return [
        *spellings(names),
        *repeats(numbers * len(names) + classes, shown, parts, "rows"),
        *conflicts(numbers, classes, shown, labels.tolist()),
        *left_overs(shown, numbers, parts),
        *overlaps(numbers, parts),
        *([f"labels that the test split never has: {', '.join(alone[:5])}"] if alone else []),
        *oddities(shown, unescaped=unescaped),
    ]


def of_pairs(source: np.ndarray, target: np.ndarray, parts: np.ndarray) -> list[str]:
    """What is told of pairs of texts, all (rows,)."""
    sides = codes(source.tolist())
    alike = int(np.sum(source == target))
    return [
        *repeats(sides * len(sides) + codes(target.tolist()), source.tolist(), parts, "pairs"),
        *([f"{counted(alike, 'pair')} with the same text on both sides"] if alike else []),
        *overlaps(sides, parts, "source text"),
        *oddities([*source.tolist(), *target.tolist()], unescaped=True),
    ]


def of_texts(texts: np.ndarray, parts: np.ndarray) -> list[str]:
    """What is told of texts alone, (rows,)."""
    numbers = codes(texts.tolist())
    return [
        *repeats(numbers, texts.tolist(), parts, "texts"),
        *overlaps(numbers, parts),
        *oddities(texts.tolist(), unescaped=True),
    ]


def codes(values: Sequence[str]) -> np.ndarray:
    """Equal values have equal numbers, int64 (rows,), counted from 0 in the order of their first coming."""
    seen: dict[str, int] = {}
    return np.fromiter((seen.setdefault(v, len(seen)) for v in values), np.int64, len(values))


def repeats(rows: np.ndarray, shown: Sequence[str], parts: np.ndarray, what: str) -> list[str]:
    """Rows of the training split that repeat an earlier one.

    Args:
        rows: the number of each row's content, as ``codes`` gives it, (rows,).
        shown: what of each row is shown.
    """
    train = np.flatnonzero(~np.isin(parts, ("valid", "test")))
    found, first, counts = np.unique(rows[train], return_index=True, return_counts=True)
    if len(found) == len(train):
        return []
    most = int(np.argmax(counts))
    return [
        f"{len(train) - len(found):,} of {len(train):,} {what} to train on repeat an earlier one "
        f"(most often {quoted(shown[train[first[most]]])}, {counts[most]:,} times)"
    ]


def overlaps(texts: np.ndarray, parts: np.ndarray, what: str = "text") -> list[str]:
    """Rows of a validation or test split of its own whose text (given as numbers) training has too."""
    train = np.unique(texts[~np.isin(parts, ("valid", "test"))])
    notes = []
    for part in ("valid", "test"):
        rows = texts[parts == part]
        shared = int(np.isin(rows, train).sum())
        if shared:
            share = f"{shared / len(rows):.1%}" if shared >= 0.001 * len(rows) else "under 0.1%"
            notes.append(
                f"{shared:,} of {len(rows):,} {part} rows ({share}) have a {what} that training has "
                "too; they stay, for figures are compared on the whole split"
            )
    return notes


def conflicts(texts: np.ndarray, labels: np.ndarray, shown: Sequence[str], names: Sequence[str]) -> list[str]:
    """Texts that stand there with more than one label; both given as numbers, (rows,)."""
    pairs, first = np.unique(texts * (labels.max() + 1) + labels, return_index=True)
    found, counts = np.unique(pairs // (labels.max() + 1), return_counts=True)
    if counts.max() == 1:
        return []
    many = found[np.argmax(counts)]
    rows = first[pairs // (labels.max() + 1) == many]
    told = ", ".join(dict.fromkeys(names[row] for row in sorted(rows)[:3]))
    many_told = counted(int((counts > 1).sum()), "text")
    return [f"{many_told} with more than one label ({quoted(shown[rows[0]])}: {told})"]


def left_overs(texts: Sequence[str], numbers: np.ndarray, parts: np.ndarray) -> list[str]:
    """Texts that recur and have many more, or fewer, words than other texts: perhaps not samples but left-overs."""
    found, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    often = np.flatnonzero(counts >= TIMES)
    if len(often) == 0:
        return []
    words = np.array([texts[row].count(" ") + 1 for row in first])
    low, high = np.quantile(words, (0.01, 0.99))
    odd = often[(words[often] < low) | (words[often] > high)]
    notes = []
    for place in odd[np.argsort(-counts[odd], kind="stable")][:3]:
        inside = Counter(parts[numbers == found[place]].tolist())
        inside["train"] += inside[""]
        where = ", ".join(f"{inside[part]:,} in {part}" for part in ("train", "valid", "test") if inside[part])
        text = quoted(texts[first[place]])
        notes.append(
            f"{text} stands there {counts[place]:,} times ({where}) and is unlike other texts: perhaps no sample "
            "[--leave-out]"
        )
    return notes


def spellings(labels: Sequence[str]) -> list[str]:
    """Labels that differ in case or blanks only."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault("".join(label.lower().split()), []).append(label)
    return [
        f"the labels {' and '.join(same)} differ in case or blanks only" for same in alike.values() if len(same) > 1
    ]


def oddities(texts: Sequence[str], *, unescaped: bool) -> list[str]:
    """Texts that are very long, damaged, or hold escapes of HTML that nobody repaired."""
    notes = []
    lengths = [len(text) for text in texts]
    long = sum(length > LONG for length in lengths)
    if long:
        notes.append(f"{counted(long, 'text')} of more than {LONG:,} characters, the longest has {max(lengths):,}")
    damaged = [text for text in texts if "\ufffd" in text]
    if damaged:
        notes.append(f"{counted(len(damaged), 'text')} with '\ufffd', for a letter that was lost: {quoted(damaged[0])}")
    if not unescaped:
        escaped = sum((";" in text or "\\" in text) and ESCAPES.search(text) is not None for text in texts)
        if escaped >= max(2, 0.001 * len(texts)):
            notes.append(f"{counted(escaped, 'text')} with escapes of HTML such as &amp; or #39; [--unescape]")
    return notes


def quoted(text: str, most: int = 40) -> str:
    """A text as it is shown in passing: on one line, cut."""
    line = " ".join(text.split())
    return f"'{line[:most]}…'" if len(line) > most else f"'{line}'"


def _file(place: str) -> str:
    return place.rsplit(", ", 1)[0]
