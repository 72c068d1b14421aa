"""What rules ask of the way from an output into its loss: the last operation, its axis, losses written by hand."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.signals import BackwardSite, LossSite, Op, Signals

DROPOUT = {"nativedropout", "dropout", "fuseddropout"}
SOFTMAX = {"softmax", "logsoftmax"}
FORM = {
    "view", "unsafeview", "reshapealias", "squeeze", "unsqueeze", "tocopy", "transpose", "t", "permute", "clone",
    "alias", "select", "slice", "index", "gather", "clamp", "clampmin", "clampmax",
}  # fmt: skip
REDUCING = {"mean", "sum", "neg", "div", "mul", "add", "sub", "rsub", "pow"}
LAYERS = {"addmm", "mm", "bmm", "convolution", "mkldnnconvolution", "addbmm", "baddbmm", "matmul", "linear"}
PICKING = {"index", "gather"}
EDGE = 1e-3  # how far rounding may take a probability beyond 0 and 1
MEAN = 1e-4  # and the mean of probabilities from 1 / classes


def last(ops: list[Op]) -> tuple[Op | None, bool]:
    """The operation that gave a loss its numbers, and whether plain factors or terms came after it."""
    scaled = False
    for op in ops:
        if op.scalar:
            scaled = True
        elif op.name not in DROPOUT:
            return op, scaled
    return None, scaled


def softmax(ops: list[Op]) -> Op | None:
    """The softmax that gave a loss its numbers, with or without a logarithm after it."""
    for op in ops:
        if op.name in SOFTMAX:
            return op
        if not op.scalar and op.name not in DROPOUT and op.name not in ("log", "neg"):
            return None
    return None


def axis(op: Op) -> int | None:
    """The axis of an operation, counted from the front; None where it isn't known."""
    if op.dim is None or op.shape is None or not -len(op.shape) <= op.dim < len(op.shape):
        return None
    return op.dim % len(op.shape)


def size(op: Op) -> int:
    """How many numbers an operation runs over; 0 where it isn't known."""
    at = axis(op)
    return 0 if at is None or op.shape is None else op.shape[at]


def by_hand(site: BackwardSite) -> tuple[list[str], Op] | None:
    """The softmax of a loss that was written by hand, and the operations between: ``-log(p[rows, y]).mean()``."""
    if site.losses or not site.softmaxes:
        return None
    for number, name in enumerate(site.ops):
        if name in SOFTMAX:
            return (site.ops[:number], site.softmaxes[0]) if site.softmaxes[0].name == name else None
        if name not in FORM and name not in REDUCING and name != "log":
            return None
    return None


def regressions(seen: Signals) -> Iterator[LossSite]:
    """Losses of a distance that were called with gradient, those written by hand among them."""
    for site in seen.training:
        if site.name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
            yield site
    for backward in seen.backwards:
        if backward.hand is not None:
            yield backward.hand


def probabilities(site: LossSite) -> bool:
    """Whether all that went into a loss of classes was within 0 and 1, and summed to one over the classes.

    That is told by its mean, which then is 1 / classes but for rounding.
    """
    seen, c = site.predicted, site.classes
    if not seen.seen or seen.unfinite or c < 2:
        return False
    within = seen.low >= -EDGE and EDGE < seen.high <= 1 + EDGE and seen.low < seen.high
    return within and abs(seen.mean - 1 / c) < MEAN


def level(site: LossSite | BackwardSite) -> float:
    """The newest values of a loss, for one row; 0 where there are none."""
    values = [value for _, value in site.values[-20:]]
    value = sum(values) / len(values) if values else 0.0
    if isinstance(site, LossSite) and site.reduction == "sum" and site.shape and site.shape[0]:
        value /= site.shape[0]
    return value
