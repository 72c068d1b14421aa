"""An activation at the end of the model whose values can't reach the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.outputs import last, regressions
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Op, Signals

INF = math.inf
RANGES = {
    "relu": (0.0, INF), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0), "softplus": (0.0, INF),
    "exp": (0.0, INF), "abs": (0.0, INF), "hardsigmoid": (0.0, 1.0), "logsigmoid": (-INF, 0.0),
    "logsoftmax": (-INF, 0.0),
}  # fmt: skip
LOGITS = {"relu": (0.0, INF), "hardtanh": (0.0, INF), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""Activations before a loss that wants logits. ReLU6 is a hardtanh; a hardtanh that gives negative ones isn't meant."""
LOST = 0.05  # share of the targets' variance that can't be explained: noise beyond the end of a range stays below it
ROWS = 16  # targets that such a share is told from
BEYOND = 0.25  # of the targets' range lies outside, where only its ends are known
EDGE = 0.01  # how far targets of a binary cross-entropy may lie outside [0, 1], where smoothing is meant to be mild


def judge(seen: Signals) -> Iterator[Found]:
    for site in regressions(seen):
        op, scaled = last(site.producers)
        range_ = None if op is None else _range(op, scaled, site)
        if op is not None and range_ is not None and _unreachable(site, *range_):
            needs = _interval(site.targets.low, site.targets.high)
            yield _found(site, op.name, range_, needs)
    for site in seen.training:
        if site.name in ("cross_entropy", "binary_cross_entropy_with_logits"):
            yield from _logits(site)
        targets = site.targets
        told = site.name.startswith("binary_cross_entropy") and targets.seen and not targets.unfinite
        if told and (targets.low < -EDGE or targets.high > 1 + EDGE):
            yield _found(site, "sigmoid", (0.0, 1.0), _interval(targets.low, targets.high))


def _found(site: LossSite, op: str, range_: tuple[float, float], needs: str) -> Found:
    numbers = {"op": op, "range": _interval(*range_), "loss": site.name, "needs": needs}
    return Found(site.place, numbers=numbers)


def _interval(low: float, high: float) -> str:
    return f"[{_end(low)}, {_end(high)}]".replace("[−∞", "(−∞").replace("∞]", "∞)")


def _end(value: float) -> str:
    return ("∞" if value > 0 else "−∞") if math.isinf(value) else f"{value:.3g}".replace("-", "−")


def _range(op: Op, scaled: bool, site: LossSite) -> tuple[float, float] | None:
    """What the last activation can give; after a factor or a term, only that it stays above 0, if it did."""
    range_ = RANGES.get(op.name)
    if op.name == "hardtanh":  # its ends aren't known: those of ReLU6 only where it gave more than 1
        range_ = (0.0, 6.0) if site.predicted.low >= 0 and site.predicted.high > 1 else (-1.0, 1.0)
        if site.predicted.low < -1 or site.predicted.high > 6:
            return None
    if range_ is None or not site.predicted.seen:
        return None
    if scaled:
        factors = all(o.name in ("mul", "div") for o in site.producers[: site.producers.index(op)])
        one_sided = range_ == (0.0, INF) and factors and site.predicted.low >= 0 < site.predicted.high
        return range_ if one_sided else None
    return range_


def _unreachable(site: LossSite, low: float, high: float) -> bool:
    """Whether much of the targets lies outside of a range."""
    targets = site.targets
    if not targets.seen or targets.unfinite or not targets.low < targets.high:
        return False
    values = [v for v in site.first_targets if math.isfinite(v)]
    if len(values) >= ROWS:
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        lost = sum((v - min(max(v, low), high)) ** 2 for v in values) / len(values)
        return variance > 0 and lost > LOST * variance
    outside = max(low - targets.low, targets.high - high, 0.0)
    return targets.seen >= ROWS and outside > BEYOND * (targets.high - targets.low)


def _logits(site: LossSite) -> Iterator[Found]:
    op, scaled = last(site.producers)
    if op is None or op.name not in LOGITS or not site.predicted.seen or site.predicted.high <= 0:
        return
    binary = site.name == "binary_cross_entropy_with_logits"
    if binary and (op.name == "sigmoid" or not site.targets.low < 0.5):  # a sigmoid is another fault
        return
    low, high = LOGITS[op.name]
    if op.name in ("relu", "hardtanh"):
        if site.predicted.low < 0 or any(o.name in ("add", "sub") for o in site.producers[: site.producers.index(op)]):
            return
    elif scaled or site.predicted.low < low - EDGE or site.predicted.high > high + EDGE:  # stretched: soft limits
        return
    if binary or len(site.shape) < 2 or site.shape[1] > 1:
        yield _found(site, op.name, (low, high), "(−∞, ∞)")


rule = Rule(
    code="output-out-of-reach",
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
        "dead-relu",
        "saturated-units",
        "labels-misaligned",
        "init-scale",
    ),
    en=Text(
        title="the last activation can't reach the targets",
        seen="what goes into {loss} comes from {op}, which gives only {range}; the loss asks for {needs}",
        why="no weights can give the missing values: the error there stays, and where the activation sits at its end "
        "its "
        "gradient is 0 or nearly so",
        fix="leave the {op} at the end of the model out: end with the linear layer (or scale the targets into {range})",
        looks="The loss stops at a height that no learning rate changes; many outputs sit at the end of the range.",
    ),
    zh=Text(
        title="最后的激活函数够不到目标值",
        seen="送进 {loss} 的是 {op} 的结果，只能取 {range}；而损失需要 {needs}",
        why="无论权重怎么调都得不到范围之外的值：这部分误差始终存在，激活停在边界处时梯度为 0 或接近 0",
        fix="去掉模型末尾的 {op}，以线性层结束（或者把目标缩放到 {range} 之内）",
        looks="损失停在某个高度，换什么学习率都不变；很多输出贴在范围的边界上。",
    ),
    wrong="""
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.ReLU())
loss = F.mse_loss(model(x), (y - y.mean()) / y.std())
""",
    right="""
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
loss = F.mse_loss(model(x), (y - y.mean()) / y.std())
""",
)
