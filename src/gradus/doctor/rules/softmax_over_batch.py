"""A softmax over the examples of a batch, or another wrong axis, in place of the classes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.outputs import axis, by_hand, softmax
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Op, Signals

CLASSES = ("cross_entropy", "nll_loss")
DISTANCES = ("mse_loss", "l1_loss", "kl_div", "smooth_l1_loss", "huber_loss")


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        op = softmax(site.producers)
        right = None if op is None else _right(op, site)
        if op is not None and right is not None:
            yield _found(op, right, site.name, site.place)
    for backward in seen.backwards:
        found = by_hand(backward)
        if found is None:
            continue
        between, op = found
        shape = op.shape or ()
        picked = "index" in between or "gather" in between
        if picked and len(shape) == 2 and axis(op) == 0 and shape[0] != shape[1] and shape[1] > 1:
            yield _found(op, 1, "", backward.place)


def _found(op: Op, right: int, loss: str, place: object) -> Found:
    numbers = {"op": op.name, "dim": axis(op), "shape": str(op.shape), "right": right, "loss": loss}
    return Found(place, numbers=numbers)  # type: ignore[arg-type]


def _right(op: Op, site: LossSite) -> int | None:
    """The axis that a softmax should run over, where it runs over another one."""
    at, shape = axis(op), op.shape
    if at is None or shape is None:
        return None
    if len(shape) == 2 and at == 0 and shape[1] > 1 and site.shape == shape:
        pairs = shape[0] == shape[1]  # each with each, as contrastive losses compare them
        if site.name in CLASSES:
            return None if pairs and site.first_targets[:64] == [float(i) for i in range(min(64, shape[0]))] else 1
        if site.name == "binary_cross_entropy":
            return None if pairs else 1
        rows, all_ = site.rows_sum_to_one
        return 1 if site.name in DISTANCES and not pairs and rows == all_ > 0 else None
    if site.name == "binary_cross_entropy" and at == 0 and shape[0] > 1 and math.prod(shape) == shape[0]:
        return 1 if sum(site.first_targets) > 1.5 else None  # one number an example, more than one of them true
    if len(shape) < 3 or site.name not in CLASSES:
        return None
    if site.shape == shape:
        return None if at == 1 else 1
    flat = len(site.shape) == 2 and site.shape == (math.prod(shape[:-1]), shape[-1])
    if flat and at != len(shape) - 1 and shape[at] != shape[-1]:
        return len(shape) - 1
    return None


rule = Rule(
    code="softmax-over-batch",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "lr-too-low",
        "vanishing-gradient",
        "one-class-predicted",
        "nll-on-probabilities",
        "softmax-before-cross-entropy",
        "examples-mixed",
    ),
    en=Text(
        title="the softmax runs over the wrong axis, not over the classes",
        seen="{op} over axis {dim} of a tensor of shape {shape}; the classes are on axis {right}",
        why="the numbers are divided among the examples of the batch (or the positions), so the answers to one example "
        "depend on the others, and its classes never compete",
        fix="give the softmax the axis of the classes: dim={right}",
        looks="Accuracy stays near chance, and the answers change with the batch size.",
    ),
    zh=Text(
        title="softmax 的维度不对，没有沿类别这一维计算",
        seen="{op} 沿形状 {shape} 的第 {dim} 维计算，而类别在第 {right} 维",
        why="这样是在批内各样本（或各位置）之间归一化：一个样本的输出取决于同批的其他样本，"
        "而它自己的各个类别之间没有竞争",
        fix="让 softmax 沿类别这一维计算：dim={right}",
        looks="准确率一直接近随机猜测，输出还会随批大小变化。",
    ),
    wrong="""
log_probabilities = F.log_softmax(model(x), dim=0)
loss = F.nll_loss(log_probabilities, y)
""",
    right="""
log_probabilities = F.log_softmax(model(x), dim=1)
loss = F.nll_loss(log_probabilities, y)
""",
)
