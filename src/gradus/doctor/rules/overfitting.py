"""A validation loss that has long been rising while the training loss still falls."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import broke, chance_of, median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals

CHECKS = 8  # on rows that training didn't have; fewer show no trend
TARGETS = 50  # in each check: the mean of fewer is too uncertain
RISE = 1.25  # times its least value that the validation loss has in each check of the last third
WIDE = 2.0  # times the training loss that it is at the end
SHARE = 0.1  # of the loss of chance that the rise comes to: 0.02 → 0.04 is sureness, not overfitting
LEARNT = 1.3  # times the training loss at the end that it was at where validation was best: it went on falling


def judge(seen: Signals) -> Iterator[Found]:
    site = seen.training[0] if seen.training else None
    if site is None or broke(seen) or site.reduction != "mean" or site.smoothing or len(site.values) < 30:
        return
    train = site.last
    if train is None or not math.isfinite(train) or train < 0:
        return
    for source in dict.fromkeys(check.source for check in seen.of_validation()):
        checks = [
            (c.update, c.loss) for c in seen.of_validation()
            if c.source == source and c.name == site.name and c.loss is not None and c.targets >= TARGETS and not c.on
        ]  # fmt: skip
        if len(checks) < CHECKS or not all(math.isfinite(loss) for _, loss in checks):
            continue
        losses = [loss for _, loss in checks]
        smooth = [median(losses[max(0, k - 1) : k + 2]) for k in range(len(losses))]
        least = min(smooth)
        best = smooth.index(least)
        tail = losses[-max(3, len(losses) // 3) :]
        now = median(tail)
        scale = chance_of(site) or max(losses[0], smooth[0])
        if best >= len(losses) - len(tail) or least <= 0 or min(tail) < RISE * least or now - least < SHARE * scale:
            continue
        if now < WIDE * train or now - train < 1.5 * SHARE * scale or _at(site, checks[best][0]) < LEARNT * train:
            continue
        yield Found(
            site.place, site.name,
            numbers={"train": train, "now": now, "least": least, "when": checks[best][0], "updates": seen.updates,
                     "checks": len(tail)},
        )  # fmt: skip
        return


def _at(site: LossSite, update: int) -> float:
    """The training loss near an update."""
    width = max(5, len(site.values) // 20)
    near = sorted(site.values, key=lambda pair: abs(pair[0] - update))[:width]
    return sum(value for _, value in near) / len(near)


rule = Rule(
    code="overfitting",
    level="likely",
    kind="trend",
    area="result",
    judge=judge,
    hides=(),
    en=Text(
        title="the model overfits: it learns the training rows by heart",
        seen="the validation loss was least ({least:.3g}) after {when} updates and is {now:.3g} now, in all of the "
        "last {checks} checks well above it, while the training loss went on down to {train:.3g}",
        why="what it still learns are peculiarities of the training rows, which other rows don't share",
        fix="keep the weights of the check with the least validation loss, and stop there; then more data, "
        "augmentation, weight_decay, nn.Dropout or a smaller model",
        looks="The training loss falls and falls; the validation loss falls, turns, and rises.",
    ),
    zh=Text(
        title="模型过拟合：它在死记训练样本",
        seen="验证损失在第 {when} 次更新时最低（{least:.3g}），现在是 {now:.3g}，"
        "最近 {checks} 次验证都明显高于最低值，"
        "而训练损失一直降到 {train:.3g}",
        why="它后来学到的是训练样本特有的细节，换了样本就不成立",
        fix="保留验证损失最低时的权重，并在那里停止训练；"
        "然后再考虑更多数据、数据增强、weight_decay、nn.Dropout 或更小的模型",
        looks="训练损失一路下降；验证损失先降，后来掉头上升。",
    ),
    wrong="""
for epoch in range(120):
    train_epoch(model)
    validate(model)
""",
    right="""
for epoch in range(120):
    train_epoch(model)
    loss = validate(model)
    if loss < best:
        best, kept, waited = loss, copy.deepcopy(model.state_dict()), 0
    elif (waited := waited + 1) == 10:
        break
model.load_state_dict(kept)
""",
)
