"""Inputs whose numbers are huge, or of very different size from column to column."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, ModelSeen, ParameterSeen, Signals

HUGE = 15.0  # root of the mean square of what goes in: initial weights are made for 1, raw pixels have about 100
UNEVEN = 100.0  # largest column deviation / middle one: the curvature of the loss differs by its square
LARGE = 10.0  # size of the largest column, below which columns may differ as they like
FAR = 10.0  # mean / deviation of a column, and its mean above LARGE: a year, a pressure
READERS = ("Linear", "Bilinear", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "Conv1d", "Conv2d", "Conv3d")
HIGH = 2.0  # first loss / the loss of guessing


def judge(seen: Signals) -> Iterator[Found]:
    for number, model in enumerate(seen.models):
        weights = [p for p in seen.parameters if p.model == number]
        if model.entry not in READERS or not model.entered.seen or not any(p.optimizer is not None for p in weights):
            continue
        size = math.hypot(model.entered.mean, model.entered.std)
        large, small, uneven, far = _columns(model)
        if not math.isfinite(size) or not (size >= HUGE or uneven or far):
            continue
        numbers = {
            "low": model.entered.low, "high": model.entered.high, "size": size,
            "told": (
                f"; its columns have deviations from {small:.2g} to {large:.2g}" if large else "",
                f"；各列的标准差从 {small:.2g} 到 {large:.2g}" if large else "",
            ),
        }  # fmt: skip
        bad = _hurts(seen, weights)
        yield Found(model.place, model.entry, "likely" if bad else "note", numbers)


def _columns(model: ModelSeen) -> tuple[float, float, bool, bool]:
    """The largest and the least deviation of a column, whether they are uneven, whether one is far from 0."""
    varied = [(mean, std) for mean, std in model.entered_features if math.isfinite(mean + std) and std > 0]
    if len(varied) < 2:
        return 0.0, 0.0, False, False
    stds = [std for _, std in varied]
    large, middle = max(stds), median(stds)
    uneven = large >= LARGE and (large >= UNEVEN * middle or large >= UNEVEN * UNEVEN * min(stds))
    far = any(abs(mean) >= max(LARGE, FAR * std) for mean, std in varied)
    return large, min(stds), uneven, far


def _hurts(seen: Signals, weights: list[ParameterSeen]) -> bool:
    """Whether training shows it: a first loss far above guessing, a loss that broke or stayed high, units that died."""
    if any(b.broken and b.data_finite for b in seen.backwards):
        return True
    if any(u.never > 0.5 * u.units for u in seen.units if u.units >= 8 and u.samples >= 3):
        return True
    for site in [*seen.training, *(b.hand for b in seen.backwards if b.hand is not None)][:3]:
        guess, last = _guess(site), site.last
        if guess <= 0:
            continue
        if site.first is not None and not site.first <= HIGH * guess + 0.5 * (site.classes > 0):
            return True
        if last is not None and len(site.values) >= 20 and not last <= 0.7 * guess:
            return True
    return False


def _guess(site: LossSite) -> float:
    """The loss of guessing; 0 where it isn't known."""
    if site.classes > 1:
        return math.log(site.classes)
    if site.name.startswith("binary_cross_entropy"):
        return math.log(2)
    if site.name == "mse_loss" and site.targets.seen:
        return site.targets.std**2
    return 0.0


rule = Rule(
    code="inputs-not-scaled",
    level="likely",
    kind="statistic",
    area="data",
    judge=judge,
    hides=(
        "initial-loss-high",
        "lr-too-high",
        "lr-too-low",
        "dead-relu",
        "saturated-units",
        "exploding-gradient",
        "optimisation-stuck",
        "model-too-small",
        "one-class-predicted",
        "vanishing-gradient",
        "init-scale",
        "nan-made",
        "overfitting",
    ),
    en=Text(
        title="the inputs aren't scaled",
        seen="what goes into the first layer ({subject}) lies between {low:.4g} and {high:.4g}, its typical size is "
        "{size:.3g}{told}",
        why="initial weights and usual learning rates are made for inputs of size 1: larger ones give huge outputs and "
        "gradients, and a large column drowns the small ones",
        fix="scale each column by the training rows: x = (x - mean) / std; pixels: x = x / 255",
        looks="The first loss is huge; then it jumps, or stops at the level of guessing. Small learning rates "
        "only make "
        "it slow.",
    ),
    zh=Text(
        title="输入没有做缩放",
        seen="进入第一层（{subject}）的数值在 {low:.4g} 到 {high:.4g} 之间，典型大小为 {size:.3g}{told}",
        why="权重初始化和常用的学习率都以输入大小约为 1 为前提：数值过大时输出和梯度都会很大，"
        "数值大的列还会盖过数值小的列",
        fix="用训练集的统计量逐列标准化：x = (x - mean) / std；像素用 x = x / 255",
        looks="最初的损失非常大，之后剧烈跳动，或停在乱猜的水平；把学习率调小只会变慢。",
    ),
    wrong="""
x = torch.tensor(table, dtype=torch.float32)      # areas up to 4000 beside ratios below 0.1
loss = F.cross_entropy(model(x[rows]), y[rows])
""",
    right="""
x = torch.tensor(table, dtype=torch.float32)
x = (x - x[train].mean(0)) / x[train].std(0)
loss = F.cross_entropy(model(x[rows]), y[rows])
""",
)
