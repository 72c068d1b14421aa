"""Hidden weights that all begin at one number, so that the units of a layer stay copies of each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import matrices
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import ParameterSeen, Signals

COPIES = 1e-3  # rows of a weight that differ by less than this share of its size: rounding makes 1e-7, random weights 1
LOOKS = 3  # after an update, in each of which the rows are copies; one update parts the rows of an output layer
ALIKE = 0.5  # share of a model's weights that begin constant: one that does may be meant, as a gate or a last layer


def judge(seen: Signals) -> Iterator[Found]:
    weights = [p for p in matrices(seen) if len(p.shape) > 1 and p.shape[0] > 1 and math.prod(p.shape[1:]) > 1]
    moved = any(change > 0 for p in seen.parameters for _, change in p.changes)
    for weight in weights:
        later = [spread for update, spread in weight.spreads if update > 0]
        if moved and weight.spreads and weight.spreads[0][1] < COPIES and len(later) >= LOOKS and max(later) < COPIES:
            last = max(update for update, _ in weight.spreads)
            yield _found(seen, weight, "fault", updates=last)
    constant = [p for p in weights if p.constant and not p.zero and p.kind != "Embedding"]
    if len(constant) >= 2 and len(constant) >= ALIKE * len(weights):
        last = max((update for p in constant for update, _ in p.spreads), default=seen.updates)
        yield _found(seen, constant[0], "likely", updates=last)


def _found(seen: Signals, weight: ParameterSeen, level: str, updates: int) -> Found:
    place = seen.models[weight.model].place if weight.model is not None else weight.first_place
    share = weight.spreads[-1][1] if weight.spreads else 0.0
    return Found(
        place, weight.name, "fault" if level == "fault" else "likely",
        {"units": weight.shape[0], "updates": updates, "share": share},
    )  # fmt: skip


rule = Rule(
    code="constant-init",
    level="fault",
    kind="exact",
    area="model",
    judge=judge,
    hides=(
        "vanishing-gradient",
        "dead-relu",
        "saturated-units",
        "init-scale",
        "initial-loss-high",
        "exploding-gradient",
        "lr-too-low",
        "lr-too-high",
        "optimisation-stuck",
        "model-too-small",
        "one-class-predicted",
    ),
    en=Text(
        title="the hidden weights all begin at the same number",
        seen="the {units} units of {subject} began with equal weights; after {updates} updates they differ by "
        "{share:.1%} of the weights' size",
        why="units with equal weights give equal answers and get equal gradients, so they stay copies: a layer of "
        "{units} units can do no more than one unit",
        fix="begin with random weights: leave PyTorch's own initialisation in place, or use "
        "nn.init.kaiming_normal_(layer.weight)",
        looks="The loss falls a little and stops early; a wider layer changes nothing.",
    ),
    zh=Text(
        title="隐藏层的权重初始值全都相同",
        seen="{subject} 的 {units} 个单元初始权重相同；更新 {updates} 次之后，"
        "各单元权重之间的差异只占权重大小的 {share:.1%}",
        why="权重相同的单元输出相同，得到的梯度也相同，于是始终互为复制品：{units} 个单元的层只相当于一个单元",
        fix="用随机数初始化：保留 PyTorch 的默认初始化，或者用 nn.init.kaiming_normal_(layer.weight)",
        looks="损失下降一点就停住；把层加宽也没有任何改善。",
    ),
    wrong="""
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.constant_(layer.weight, 0.05)
""",
    right="""
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.kaiming_normal_(layer.weight)
""",
)
