"""The first loss is far above that of a guess: the outputs are too large before any training."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, ParameterSeen, Signals

TIMES, MORE = 3.0, 1.0  # a first loss above 3 ln C + 1: equal guesses give ln C (cs231n), torch's own layers + 0.5
WIDE = 3.0  # standard deviation of logits: those of torch's own layers have less than 1, e^3 is 20 times as likely
REGRESSION = 100.0  # times the mean square of the targets, which answering 0 gives
INPUTS = 10.0, 50.0  # standard deviation and size of inputs beyond which they are the cause, not the weights
GAIN = 2.0  # standard deviation times √fan_in of weights: 0.6 of torch's own layers, 1.4 of He's


def judge(seen: Signals) -> Iterator[Found]:
    if _inputs_large(seen):
        return
    for site in seen.training:
        chance = _chance(site)
        if chance is None or site.first is None or not math.isfinite(site.first) or site.predicted.unfinite:
            continue
        if site.name in ("mse_loss", "l1_loss"):
            high = site.first > REGRESSION * chance
        else:
            high = site.first > TIMES * chance + MORE and site.predicted.std > WIDE
        weights = _largest(seen)
        if high and weights is not None:
            numbers = {"first": site.first, "chance": chance, "std": site.predicted.std}
            yield Found(site.place, weights.name, numbers=numbers)


def _chance(site: LossSite) -> float | None:
    """The loss of one who guesses: None where it can't be told."""
    if site.reduction != "mean" or site.weighted or site.calls < 5:
        return None
    if site.classes > 1:
        return math.log(site.classes)
    if site.name == "binary_cross_entropy_with_logits":
        return math.log(2)
    targets = site.targets
    if site.name in ("mse_loss", "l1_loss") and targets.seen and targets.std > 0.1 and math.isfinite(targets.std):
        square = targets.std**2 + targets.mean**2
        return square if site.name == "mse_loss" else math.sqrt(square)
    return None


def _inputs_large(seen: Signals) -> bool:
    for model in seen.models:
        inputs = model.inputs
        if inputs.seen and (inputs.std > INPUTS[0] or max(abs(inputs.low), abs(inputs.high)) > INPUTS[1]):
            return True
    return False


def _largest(seen: Signals) -> ParameterSeen | None:
    """The matrix that makes its results largest: an embedding only where no other is large, for it may be tied."""
    matrices = [p for p in seen.parameters if p.fan_in > 0 and _gain(p) > GAIN]
    layers = [p for p in matrices if p.kind != "Embedding"]
    return max(layers or matrices, key=_gain, default=None)


def _gain(weight: ParameterSeen) -> float:
    gain = weight.start_std * math.sqrt(weight.fan_in)
    return gain if math.isfinite(gain) else 0.0


rule = Rule(
    code="initial-loss-high",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    en=Text(
        title="the first weights make the outputs too large",
        seen="the loss is {first:.2f} before any update, and {chance:.2f} for one who only guesses; the outputs have a "
        "standard deviation of {std:.1f}; the largest weights are {subject}",
        why="the model begins very sure of wrong answers: the first steps only shrink the outputs, with gradients that "
        "are too large, and training starts late or from a bad place",
        fix="make the first weights of the output layer small: nn.init.normal_(model.{subject}, std=0.02)",
        looks="The loss begins far above ln(number of classes), and falls steeply at first like a hockey stick.",
    ),
    zh=Text(
        title="初始权重使输出过大",
        seen="更新之前损失就有 {first:.2f}，而随机猜测只有 {chance:.2f}；输出的标准差是 {std:.1f}；最大的权重是 "
        "{subject}",
        why="模型一开始就对错误答案非常自信：最初的许多步只是在用过大的梯度把输出缩小，真正的学习开始得晚，"
        "或者起点很差",
        fix="减小输出层的初始权重：nn.init.normal_(model.{subject}, std=0.02)",
        looks="损失起点远高于 ln(类别数)，开头急剧下降，曲线像一根冰球杆。",
    ),
    wrong="""
model = nn.Linear(64, 10)
nn.init.normal_(model.weight)  # std=1
loss = F.cross_entropy(model(x), y)
""",
    right="""
model = nn.Linear(64, 10)
nn.init.normal_(model.weight, std=0.02)
loss = F.cross_entropy(model(x), y)
""",
)
