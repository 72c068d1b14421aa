"""Gradients that grow from layer to layer, or from step to step of a sequence, on their way down."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, Course, broke, course, matrices, median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

RATIO = 70.0  # of a lower layer's gradient to the last layer's, per weight, before any update (AUTOTRAINER's)
SIZE = 10.0
"""Times the weights' own size, of the middle one, before any update, with a loss of classes: its gradient at the logits
is never above 1, so that about 0.1 is usual however large the loss is."""
JUMP = 2.0  # times the first loss that a part of the course reaches


def judge(seen: Signals) -> Iterator[Found]:
    if seen.updates < 10 and not broke(seen):
        return
    went = course(seen)
    if not broke(seen) and (went is None or not _bad(went)):
        return
    for number in {p.model for p in matrices(seen) if p.model is not None}:
        layers = [p for p in matrices(seen) if p.model == number and p.kind != "Embedding"]
        begun = [(p, g / math.sqrt(math.prod(p.shape))) for p in layers for u, g in p.gradients[:1] if u == 0]
        if len(begun) < 2:
            continue
        last = begun[-1][1]
        lower = [(p, g) for p, g in begun[:-1] if g > 0]
        if not lower or not math.isfinite(last) or last <= 0:
            continue
        worst, size = max(lower, key=lambda pair: pair[1] if pair[1] < math.inf else math.inf)
        whole = median([g * math.sqrt(math.prod(p.shape)) / p.start_norm for p, g in begun if p.start_norm > 0])
        numbers = {"first": went.first if went else math.nan, "last": went.last if went else math.nan}
        if size > RATIO * last:
            times = f"{size / last:.3g}"
            how = f"{times} times the last layer's, per weight", f"每个权重平均是最后一层的 {times} 倍"
        elif whole > SIZE and _of_classes(seen):
            how = f"{whole:.3g} times as large as the weights themselves", f"大小是权重本身的 {whole:.3g} 倍"
        else:
            continue
        if broke(seen):
            numbers["last"] = math.nan
        yield Found(seen.models[number].place, worst.name, numbers={**numbers, "how": how})


def _of_classes(seen: Signals) -> bool:
    names = ("cross_entropy", "nll_loss", "binary_cross_entropy_with_logits")
    return bool(seen.training) and seen.training[0].name in names and seen.training[0].reduction == "mean"


def _bad(went: Course) -> bool:
    return went.headway < HEADWAY or max(went.blocks) > JUMP * max(went.first, went.chance or 0.0)


rule = Rule(
    code="exploding-gradient",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    hides=(
        "lr-too-high",
        "saturated-units",
        "dead-relu",
        "optimisation-stuck",
        "model-too-small",
        "nan-made",
        "one-class-predicted",
        "vanishing-gradient",
        "lr-too-low",
        "initial-loss-high",
    ),
    en=Text(
        title="the gradients explode on their way down",
        seen="before any update the gradient of {subject} was {how}; the loss went from {first:.3g} to {last:.3g}",
        why="each layer, or each step of a sequence, multiplies the gradient by a number above 1; one update with such "
        "a gradient throws the weights far away",
        fix="begin with smaller weights there (nn.init.orthogonal_(weight) for recurrent ones), and limit the gradient "
        "before the update: nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        looks="The loss jumps, stays high or becomes NaN; at long sequences or in deep networks first.",
    ),
    zh=Text(
        title="梯度爆炸",
        seen="第一次更新之前，{subject} 的梯度{how}；损失从 {first:.3g} 变到 {last:.3g}",
        why="梯度每往回传一层（或序列的一步）都乘上一个大于 1 的数；用这样的梯度更新一次，权重就被甩得很远",
        fix="把那里的初始权重调小（循环权重用 nn.init.orthogonal_(weight)），并在更新前限制梯度："
        "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        looks="损失突然跳高、降不下来，或者变成 NaN；序列越长、网络越深越早出现。",
    ),
    wrong="""
nn.init.orthogonal_(rnn.weight_hh_l0, gain=3.0)
loss.backward()
optimizer.step()
""",
    right="""
nn.init.orthogonal_(rnn.weight_hh_l0)
loss.backward()
nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()
""",
)
