"""Weight decay that pulls the weights to zero against the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, OptimizerSeen, ParameterSeen, Signals

STEPS = 40
SHRUNK, FAR = 0.5, 0.2  # norm of the weights now, of that at the beginning: half, and nearly nothing
HIGH, RATHER = 0.7, 0.5  # the loss now, of what guessing the frequencies costs
PULL = 0.5  # decay's part of the gradient, against the loss's: at rest with a usual decay it is small
USUAL = (0.1, 1e-2)  # decay and learning rate of AdamW
SHRINKS = 0.7  # what decay alone takes: exp(−0.7) is a half


def judge(seen: Signals) -> Iterator[Found]:
    site = next((s for s in seen.training if s.last is not None), None)
    last = None if site is None else site.last
    if site is None or last is None or not math.isfinite(last):
        return
    guess = guessing(site)
    if guess is None or guess <= 0:
        return
    for number, optimizer in enumerate(seen.optimizers):
        if optimizer.weight_decay <= 0 or optimizer.steps < STEPS:
            continue
        weights = [p for p in seen.parameters if p.optimizer == number and len(p.shape) > 1 and len(p.norms) >= 3]
        ratios = [p.norms[-1][1] / p.norms[0][1] for p in weights if p.norms[0][1] > 0]
        if not ratios or not all(math.isfinite(r) for r in ratios):
            continue
        left, cost = median(ratios), last / guess
        far = (left <= FAR and cost >= RATHER) or (left <= SHRUNK and cost >= HIGH)
        if far and _pulls(optimizer, weights):
            numbers = {"decay": optimizer.weight_decay, "left": 100 * left, "last": last, "guess": guess}
            yield Found(optimizer.made or optimizer.place, optimizer.kind, numbers=numbers)


def guessing(site: LossSite) -> float | None:
    """What a loss is where only frequencies (or the mean) are answered; its first value where that can't be told."""
    plain = site.reduction == "mean" and not site.weighted
    if site.labels and plain and (site.classes or site.name.startswith("binary")):
        total = sum(site.labels.values())
        entropy = -sum(n / total * math.log(n / total) for n in site.labels.values() if n)
        return min(entropy, site.first) if site.first is not None else entropy
    return site.first


def _pulls(optimizer: OptimizerSeen, weights: list[ParameterSeen]) -> bool:
    """Whether it was decay that took the weights away."""
    rate = max((r for _, r in optimizer.rates), default=optimizer.lr)
    inertia = 1 / (1 - optimizer.momentum) if optimizer.kind == "SGD" and optimizer.momentum < 1 else 1.0
    if optimizer.decoupled and optimizer.weight_decay <= USUAL[0] and rate > USUAL[1]:
        return False  # a usual decay, which only a learning rate far too high makes strong
    if optimizer.decoupled or optimizer.kind == "SGD":
        return rate * inertia * optimizer.weight_decay * optimizer.steps >= SHRINKS
    parts = []
    for p in weights:
        norms = dict(p.norms)
        parts += [optimizer.weight_decay * norms[at] / g for at, g in p.gradients if at in norms and g > 0 and at]
    return bool(parts) and median(parts) >= PULL


rule = Rule(
    code="weight-decay-dominates",
    level="likely",
    kind="trend",
    area="optimizer",
    judge=judge,
    hides=(
        "optimisation-stuck", "model-too-small", "vanishing-gradient", "lr-too-low", "dead-relu", "one-class-predicted",
        "lr-too-high",
    ),
    en=Text(
        title="the weight decay is too strong",
        seen="with weight_decay={decay:g} the weights shrank to {left:.0f} % of their first size, and the loss stays "
        "at "
        "{last:.3g}, where guessing gives {guess:.3g}",
        why="decay pulls every weight towards 0 in each step, harder than the loss pulls it elsewhere: the network "
        "ends up "
        "answering the same for everything",
        fix="lower it: weight_decay=1e-4 (SGD, Adam) or 1e-2 (AdamW) is usual",
        looks="The loss stops near that of guessing, and all outputs become alike.",
    ),
    zh=Text(
        title="权重衰减太强",
        seen="weight_decay={decay:g} 时权重缩小到最初的 {left:.0f} %，损失停在 {last:.3g}，而瞎猜就有 {guess:.3g}",
        why="权重衰减每一步都把权重往 0 拉，比损失的作用还强：网络最后对什么输入都给出同样的回答",
        fix="调小它：常用 weight_decay=1e-4（SGD、Adam）或 1e-2（AdamW）",
        looks="损失停在瞎猜的水平附近，所有输出变得一样。",
    ),
    wrong="""
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
""",
    right="""
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
""",
)  # fmt: skip
