"""Prediction and target of different shapes: the loss compares each example with each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import BackwardSite, Broadcast, Place, Shape, Signals

NEAR = 8  # operations from the loss within which a difference belongs to it


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        result = _broadcast(site.shape, site.target_shape)
        if site.unequal_shapes and result is not None and len(site.shape) != len(site.target_shape):
            yield _found(site.place, site.shape, site.target_shape, result)
    for backward in seen.backwards:
        found = _by_hand(backward)
        if found is not None:
            place = backward.hand.place if backward.hand is not None else backward.place
            yield _found(place, found.side, found.other or _other(found), found.result)


def _found(place: Place | None, side: Shape, target: Shape, result: Shape) -> Found:
    return Found(place, numbers={"side": str(side), "target": str(target), "result": str(result)})


def _broadcast(one: Shape, other: Shape) -> Shape | None:
    """The shape of a difference that is larger than both of its sides; None where it isn't."""
    axes = []
    for number in range(1, max(len(one), len(other)) + 1):
        a, b = (shape[-number] if number <= len(shape) else 1 for shape in (one, other))
        if a != b and 1 not in (a, b):
            return None
        axes.append(max(a, b))
    larger = math.prod(axes) > max(math.prod(one), math.prod(other))
    return tuple(reversed(axes)) if larger else None


def _by_hand(site: BackwardSite) -> Broadcast | None:
    """A broadcast in a loss written by hand: both shapes heard, or a difference of (N,) or (N, 1) that is (N, N)."""
    for seen in site.broadcasts:
        if seen.other and len(seen.other) != len(seen.side) and _square(seen):
            return seen
    for seen in site.broadcasts:
        heard = any(seen.result == other.result and other.other for other in site.broadcasts)
        if not seen.other and not heard and not site.losses and _square(seen) and seen.name in site.ops[:NEAR]:
            return seen
    return None


def _square(seen: Broadcast) -> bool:
    """Whether one number for each of N examples became N × N numbers."""
    n = seen.side[0] if seen.side else 0
    return n > 1 and seen.side in ((n,), (n, 1)) and seen.result == (n, n)


def _other(seen: Broadcast) -> Shape:
    n = seen.side[0]
    return (n,) if len(seen.side) == 2 else (n, 1)


rule = Rule(
    code="broadcast-in-loss",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "lr-too-low",
        "labels-misaligned",
        "vanishing-gradient",
        "lr-too-high",
    ),
    en=Text(
        title="the shapes of prediction and target differ, and the loss compares all with all",
        seen="the prediction is {side}, the target {target}: their difference is {result}",
        why="each prediction is compared with the targets of all examples, so the best the model can do is to answer "
        "their mean for every input",
        fix="give both the same shape: model(x).squeeze(1), or y.unsqueeze(1), before the loss",
        looks="The loss stops at the variance of the targets, and all predictions are nearly the same number.",
    ),
    zh=Text(
        title="预测和目标的形状不同，损失把所有样本两两相比",
        seen="预测的形状是 {side}，目标是 {target}：相减得到 {result}",
        why="广播使每个预测都与所有样本的目标比较，模型能做到的最好结果就是对任何输入都输出目标的均值",
        fix="先让两者形状一致再算损失：model(x).squeeze(1)，或 y.unsqueeze(1)",
        looks="损失停在目标的方差附近，所有预测几乎是同一个数。",
    ),
    wrong="""
prediction = model(x)  # (N, 1)
loss = ((prediction - y) ** 2).mean()  # y: (N,)
""",
    right="""
prediction = model(x).squeeze(1)  # (N,)
loss = ((prediction - y) ** 2).mean()  # y: (N,)
""",
)
