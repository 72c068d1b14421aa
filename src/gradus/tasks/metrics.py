"""Metrics of a whole split, from all of its outputs at once, under the names that scikit-learn gives them.

Everything is computed on the outputs' device in float64 where sums are long; each function returns a Python float.
A metric that isn't defined (R² of one row, AUROC of one class) is NaN, never a number made up.
"""

from __future__ import annotations

import torch
from torch import Tensor


def accuracy(predicted: Tensor, classes: Tensor) -> float:
    """The share of rows (rows,) whose predicted class is the true one."""
    return float((predicted == classes).double().mean())


def f1_macro(predicted: Tensor, classes: Tensor) -> float:
    """The mean over classes of 2·TP / (2·TP + FP + FN), over the classes that occur in either tensor (rows,)."""
    size = int(max(predicted.max(), classes.max())) + 1
    hits = torch.bincount(classes[predicted == classes], minlength=size).double()
    given = torch.bincount(predicted, minlength=size).double()
    true = torch.bincount(classes, minlength=size).double()
    present = (given + true) > 0
    return float((2 * hits[present] / (given + true)[present]).mean())


def auroc(scores: Tensor, positive: Tensor) -> float:
    """The area under the ROC curve of scores (rows,) for a boolean (rows,), ties counted half.

    It is the Mann–Whitney statistic: the chance that a positive row scores above a negative one.
    """
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if num_positive == 0 or num_negative == 0:
        return float("nan")
    _, tied, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    rank = (last - (counts.double() - 1) / 2)[tied]  # the mean rank, from 1, of all rows of one score
    above = rank[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def auroc_macro(probabilities: Tensor, classes: Tensor) -> float:
    """The mean over classes of one class against the rest, probabilities (rows, classes); NaN where one is absent."""
    areas = [auroc(probabilities[:, c], classes == c) for c in range(probabilities.shape[1])]
    return sum(areas) / len(areas)


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 10) -> float:
    """The expected calibration error (Guo et al. 2017): |confidence − accuracy| over equal bins, weighted by rows.

    Args:
        confidence: the probability given to the predicted class, (rows,), in [0, 1].
        correct: whether it was right, (rows,).
    """
    place = (confidence * bins).nan_to_num(0.0).long().clamp(0, bins - 1)  # a NaN is shown by the sum
    gap = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    gap.index_add_(0, place, confidence.double() - correct.double())
    return float(gap.abs().sum() / len(confidence))


def regression(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """RMSE, MAE and R² of predictions, both (rows,) and in the units of the target."""
    residual = predicted.double() - true.double()
    spread = ((true.double() - true.double().mean()) ** 2).sum()
    square = (residual**2).sum()
    return {
        "rmse": float((square / len(residual)).sqrt()),
        "mae": float(residual.abs().mean()),
        "r2": float(1 - square / spread) if spread > 0 else float("nan"),
    }
