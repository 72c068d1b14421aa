"""What was tried with a model and its rows, and what came of it: plain values, a part of ``signals``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Probe:
    """What was tried on a copy of the model at the end."""

    memorised: float | None = None  # least loss on one batch after 150 steps from the first weights
    memorised_from: float | None = None
    rows: int = 0  # that the next two experiments had: of the first epoch, a fourth of them held out
    again: float | None = None  # least held-out loss of the model itself, taught by Adam from its first weights
    plain: float | None = None  # least held-out loss of a plain network of two layers of 64 units
    steep: float | None = None  # at the last weights: gradient's norm times theirs, over the loss, on one batch
    lowest: float | None = None  # curvature of the loss there
    highest: float | None = None
    in_training: float | None = None  # loss of one batch at the last weights, in training mode
    in_evaluation: float | None = None
    rate: float | None = None  # that a range test on a fresh copy advises
    edge: float | None = None  # the largest rate before its loss diverged
    speed: float | None = None  # floating-point operations a second of the training
    possible: float | None = None  # of large products here
    failed: list[str] = field(default_factory=list)  # experiments on a run that couldn't be made, with their errors


@dataclass
class Ceiling:
    """What no model can do better: rows that look the same and have different answers."""

    rows: int  # that were compared
    alike: int  # of these, that look just like another
    classes: float | None = None  # the greatest accuracy on these rows
    numbers: float | None = None  # the greatest share of the variance that can be told, of those that are alike
