"""Splits of texts: rows whose split the source tells stay there; the rest is cut by group.

Rows of one group, such as a sentence with several translations, are never on two sides of a cut.
"""

from __future__ import annotations

import hashlib

import numpy as np

from gradus.data.splits import Splits, by_fraction
from gradus.errors import UserError


def split_by_group(
    keys: np.ndarray,
    parts: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    valid: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Cut rows so that those with the same key are on one side; each split has its fraction, but for one group.

    A group's place comes from a hash of its key and the seed alone, so the cut doesn't depend on the order of the
    rows, and few groups change sides where rows are added. A row that the source gives a split of its own stays there.

    Args:
        keys: what makes a group, an array of str (rows,).
        labels: (rows,); where given, the groups of each label are cut in the same proportion. A group of several
            labels counts for the first by name.
        parts: the split that the source tells for each row, "train", "valid" or "test", or "" (rows,). The test split
            is cut from the rows without one; validation also from those told to be for training. A split that the
            source tells isn't cut again.
        valid, test: fractions of the rows that are cut.

    Raises:
        UserError: where there are too few groups to cut.
    """
    valid, test = _fractions(parts, valid, test)
    told, free = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "")
    classes = np.full(len(keys), "", dtype=object) if labels is None else labels
    cuts = [_cut(keys[rows], classes[rows], rows, valid, share, seed) for rows, share in ((free, test), (told, 0.0))]
    splits = _whole(parts, *cuts)
    wanted = {"train": len(told) + len(free), "valid": valid * (len(told) + len(free)), "test": test * len(free)}
    for name, rows in wanted.items():
        if rows >= 1 and len(splits[name]) == 0:
            groups = len(set(keys.tolist()))
            raise UserError(f"{groups:,} different texts are too few to split: none is left for {name}. Give more.")
    return splits


def _fractions(parts: np.ndarray, valid: float, test: float) -> tuple[float, float]:
    by_fraction(0, valid=valid, test=test)  # which refuses what isn't a fraction
    return (0.0 if (parts == "valid").any() else valid), (0.0 if (parts == "test").any() else test)


def _cut(keys: np.ndarray, labels: np.ndarray, rows: np.ndarray, valid: float, test: float, seed: int) -> Splits:
    """The rows by split: a label's groups stand along a line in the order of their hashes, each as long as it has rows.

    A line of few rows starts at an offset of its own, or such labels would all be cut alike.
    """
    groups: dict[str, int] = {}
    number = np.fromiter((groups.setdefault(key, len(groups)) for key in keys.tolist()), np.int64, len(keys))
    names = {name: code for code, name in enumerate(sorted(set(labels.tolist())))}
    label = np.full(len(groups), len(names))
    np.minimum.at(label, number, np.array([names[one] for one in labels.tolist()], dtype=np.int64))
    salt = str(seed).encode()
    hashes = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=salt).digest(), "big") for key in groups]
    order = np.lexsort((np.array(hashes, dtype=np.uint64), label))
    lines = np.split(order, np.searchsorted(label[order], np.arange(1, len(names))))
    sizes = np.bincount(number, minlength=len(groups))
    place = np.empty(len(groups))
    for code, line in enumerate(lines):
        total = sizes[line].sum()
        offset = 0.5 if len(line) == 1 or total > 10 else (code + 1) * 0.6180339887498949 % 1.0
        place[line] = (np.cumsum(sizes[line]) - sizes[line] * (1 - offset)) / max(total, 1)
    where = place[number]
    return {
        "train": rows[where >= valid + test],
        "valid": rows[(where >= test) & (where < valid + test)],
        "test": rows[where < test],
    }


def _whole(parts: np.ndarray, *cuts: Splits) -> Splits:
    """The cuts of the free rows and of those told to be for training, with the rows of the other splits."""
    own = {"train": np.empty(0, np.int64), **{name: np.flatnonzero(parts == name) for name in ("valid", "test")}}
    return {name: np.sort(np.concatenate([*(cut[name] for cut in cuts), own[name]])) for name in own}
