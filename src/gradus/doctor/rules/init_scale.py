"""Hidden weights that begin far too small or far too large for their number of inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, broke, course, matrices, median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import ParameterSeen, Signals

SMALL, LARGE = 0.15, 4.0
"""Of √inputs × standard deviation: PyTorch's own begins at 0.58, Glorot's near 1, He's at 1.4; values are passed on
unchanged near 1, so two layers of 0.15 leave 2 % of them, and two of 4 make them 16 times larger."""
LEAST = 2  # hidden weights that are so
FAR = 3.0  # times the loss of chance, at first
WEIGHTS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "Bilinear")


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen)
    if went is None and not broke(seen):
        return
    for number in {p.model for p in matrices(seen) if p.model is not None}:
        own = [p for p in seen.parameters if p.model == number]
        if any("Norm" in p.kind for p in own):  # its output's scale doesn't depend on the weights before it
            continue
        layers = [p for p in matrices(seen) if p.model == number and p.kind in WEIGHTS and p.fan_in > 3]
        layers = [p for p in layers if not p.constant]
        hidden = [p for p in layers if p is not layers[-1]]
        if len(hidden) < LEAST:
            continue
        gains = [p.start_std * math.sqrt(p.fan_in) for p in hidden]
        gain = median(gains)
        low, high = [g for g in gains if g < SMALL], [g for g in gains if g > LARGE]
        if len(low) >= max(LEAST, len(hidden) / 2) and went is not None and went.headway < HEADWAY:
            yield _found(seen, hidden, gains, gain, went.first, went.last, "small")
        if len(high) >= max(LEAST, len(hidden) / 2):
            far = went is not None and went.chance is not None and went.first > FAR * went.chance
            if broke(seen) or far or (went is not None and went.headway < HEADWAY):
                first, last = (went.first, went.last) if went else (math.nan, math.nan)
                yield _found(seen, hidden, gains, gain, first, last, "large")


def _found(
    seen: Signals, hidden: list[ParameterSeen], gains: list[float], gain: float, first: float, last: float, what: str
) -> Found:
    worst = (min if what == "small" else max)(range(len(gains)), key=gains.__getitem__)
    weight = hidden[worst]
    model = seen.models[weight.model] if weight.model is not None else None
    fitting = math.sqrt(2 / weight.fan_in)
    return Found(
        model.place if model else weight.first_place, weight.name,
        numbers={"what": (what, "小" if what == "small" else "大"), "std": weight.start_std, "gain": gain,
                 "fitting": fitting, "inputs": weight.fan_in, "layers": len(hidden), "first": first, "last": last},
    )  # fmt: skip


rule = Rule(
    code="init-scale",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    hides=(
        "vanishing-gradient",
        "exploding-gradient",
        "dead-relu",
        "saturated-units",
        "initial-loss-high",
        "lr-too-low",
        "lr-too-high",
        "optimisation-stuck",
        "model-too-small",
        "one-class-predicted",
    ),
    en=Text(
        title="the initial weights are too {what}",
        seen="{subject} began with a standard deviation of {std:.2g}; for its {inputs} inputs about {fitting:.2g} "
        "fits; {layers} hidden layers are alike, the loss was {first:.3g} at first and is {last:.3g}",
        why="each layer multiplies the size of what passes by the same wrong factor, and does so to the gradient on "
        "its way down: after some layers nothing is left, or far too much",
        fix="make the deviation fit the number of inputs: nn.init.kaiming_normal_(layer.weight), or leave PyTorch's "
        "own initialisation in place",
        looks="Too small: the loss doesn't move at all. Too large: the first loss is huge, or becomes NaN.",
    ),
    zh=Text(
        title="初始权重太{what}",
        seen="{subject} 初始标准差为 {std:.2g}；它有 {inputs} 个输入，合适的约为 {fitting:.2g}；"
        "{layers} 个隐藏层情况类似，损失开始为 {first:.3g}，现在 {last:.3g}",
        why="数值每过一层就乘上同一个不合适的倍数，梯度往回传时也一样：几层之后不是几乎为零，就是大得离谱",
        fix="让标准差与输入个数相配：nn.init.kaiming_normal_(layer.weight)，或者保留 PyTorch 的默认初始化",
        looks="太小：损失纹丝不动。太大：最初的损失极高，或者变成 NaN。",
    ),
    wrong="""
for layer in layers:
    nn.init.normal_(layer.weight, std=0.001)
""",
    right="""
for layer in layers:
    nn.init.kaiming_normal_(layer.weight)
""",
)
