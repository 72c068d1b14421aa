"""What no model can do better, where that is known: rows that look the same and have different answers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradus.data import Dataset
from gradus.doctor.tried import Ceiling

ROWS = 50_000  # of a training split that are compared
NUMBERS = 256  # of a row, at most: of pictures and texts hardly two are the same
LEAST = 20  # rows that have a twin: of fewer nothing is said


def of_data(data: Dataset) -> Ceiling | None:
    """Of the training rows of a data set that is a table; None of any other."""
    ids = torch.from_numpy(np.asarray(data.splits["train"])[:ROWS])
    first = data.batch(ids[:2].to(data.place)).inputs
    if isinstance(first, tuple) or first.ndim != 2 or not 1 <= first.shape[1] <= NUMBERS or data.steps > 1:
        return None
    batch = data.batch(ids.to(data.place))
    assert isinstance(batch.inputs, Tensor)
    return of_rows(batch.inputs, batch.targets)


def of_rows(rows: Tensor, targets: Tensor) -> Ceiling | None:
    """How much of the targets the rows can tell at most; None where hardly a row looks like another.

    Of classes that is the share of rows whose class is the commonest among the rows that look just the same. Of
    numbers it is one minus the variance among rows that look the same over that of all of them: the pure error of
    the analysis of variance, see Draper and Smith, Applied Regression Analysis, on lack of fit.

    Args:
        rows: (n, columns).
        targets: (n,) or (n, 1); classes are whole numbers, or all 0 and 1.
    """
    targets = targets.detach().cpu().reshape(len(rows), -1)
    if targets.shape[1] != 1 or len(rows) < LEAST:
        return None
    values = targets[:, 0].numpy()
    _, group = np.unique(rows.detach().cpu().numpy(), axis=0, return_inverse=True)
    group = group.reshape(-1)  # numpy 2.0 gives it another form
    sizes = np.bincount(group)
    alike = sizes[group] > 1
    if int(alike.sum()) < LEAST:
        return None
    if not targets.is_floating_point() or set(np.unique(values).tolist()) <= {0.0, 1.0}:
        return Ceiling(len(rows), int(alike.sum()), classes=_commonest(group, values) / len(rows))
    return Ceiling(len(rows), int(alike.sum()), numbers=_explained(group[alike], values[alike].astype(np.float64)))


def _commonest(group: NDArray[np.int64], labels: NDArray[np.generic]) -> int:
    """In how many rows the label is the commonest of the row's group."""
    _, label = np.unique(labels, return_inverse=True)
    pairs, counts = np.unique(np.stack([group, label.reshape(-1)]), axis=1, return_counts=True)
    most = np.zeros(group.max() + 1, dtype=np.int64)
    np.maximum.at(most, pairs[0], counts)
    return int(most.sum())


def _explained(group: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """The share of the variance that isn't within the groups, of two values or more each."""
    _, group = np.unique(group, return_inverse=True)
    group, sizes = group.reshape(-1), np.bincount(group.reshape(-1))
    means = np.bincount(group, values) / sizes
    within = float(((values - means[group]) ** 2).sum()) / (len(values) - len(sizes))
    spread = float(values.var(ddof=1))
    return max(0.0, 1 - within / spread) if spread > 0 else 1.0
