"""Gradients that shrink from layer to layer on their way down, in a network that makes no headway."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from gradus.doctor.course import HEADWAY, course, matrices, median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import ParameterSeen, Signals

DEPTH = 4  # weights of one model, one behind the other
RATIO = 1e-3  # of the first layers' gradient to the last's, per weight (AUTOTRAINER's; it only counts without headway)
STEPS = 3  # pairs of neighbours in which the gradient shrinks
LOOKS = 3


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen)
    if went is None or went.headway > HEADWAY:
        return
    for number in {p.model for p in matrices(seen) if p.model is not None}:
        layers = [p for p in matrices(seen) if p.model == number and p.kind != "Embedding"]
        if len(layers) < DEPTH or min(len(p.gradients) for p in layers) < LOOKS:
            continue
        sizes = [median([g for _, g in p.gradients]) / math.sqrt(math.prod(p.shape)) for p in layers]
        if not all(size > 0 for size in sizes):  # exactly 0 is something else: dead units, a path that is cut
            continue
        first, last = min(sizes[: max(1, len(sizes) // 4)]), sizes[-1]
        shrinks = sum(lower < 0.8 * upper for lower, upper in pairwise(sizes))
        if first < RATIO * last and shrinks >= max(STEPS, len(sizes) // 2):
            lowest = layers[sizes.index(first)]
            yield Found(
                seen.models[number].place, lowest.name,
                numbers={"ratio": first / last, "times": last / first, "layers": len(layers), "last": went.last,
                         "first": went.first, "act": _activation(seen, lowest)},
            )  # fmt: skip


def _activation(seen: Signals, lowest: ParameterSeen) -> str:
    """The activation that is met most in hidden layers."""
    names = [u.op for u in seen.units]
    return max(set(names), key=names.count) if names else ""


rule = Rule(
    code="vanishing-gradient",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    hides=("optimisation-stuck", "model-too-small", "lr-too-low", "one-class-predicted"),
    en=Text(
        title="hardly any gradient reaches the first layers",
        seen="the gradient of {subject} is {times:.0f} times smaller than the last layer's, it shrinks from layer to "
        "layer, and the loss doesn't fall ({first:.3g} at first, {last:.3g} now)",
        why="each layer multiplies the gradient on its way down by a number below 1; over {layers} layers next to "
        "nothing is left, so the first layers stay as they began",
        fix="use an activation that lets gradients through, such as nn.ReLU() in place of nn.Sigmoid(), or add skip "
        "connections: x = x + layer(x)",
        looks="The loss stays near that of guessing; a shallower network trains at once.",
    ),
    zh=Text(
        title="梯度几乎传不到前面的层",
        seen="{subject} 的梯度只有最后一层的 1/{times:.0f}，逐层缩小，"
        "而且损失没有下降（开始 {first:.3g}，现在 {last:.3g}）",
        why="梯度往回传时每经过一层都乘上一个小于 1 的数；{layers} 层之后几乎什么都不剩，前面的层一直停在初始值附近",
        fix="换成能让梯度通过的激活函数，例如用 nn.ReLU() 代替 nn.Sigmoid()；或者加残差连接：x = x + layer(x)",
        looks="损失停在瞎猜的水平附近；换成更浅的网络马上就能训练。",
    ),
    wrong="""
layers = []
for _ in range(10):
    layers += [nn.Linear(64, 64), nn.Sigmoid()]
""",
    right="""
layers = []
for _ in range(10):
    layers += [nn.Linear(64, 64), nn.ReLU()]
""",
)
