"""A distance to class numbers, as if class 3 lay between 2 and 4."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.outputs import regressions
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals

FEWEST, MOST = 3, 20  # kinds of targets: two may be meant as ends of a scale, more than 20 are rather counts
TARGETS = 32  # that must have been seen


def judge(seen: Signals) -> Iterator[Found]:
    for site in regressions(seen):
        if _numbers_of_classes(site):
            yield Found(
                site.place, numbers={"loss": site.name, "kinds": len(site.distinct), "high": max(site.distinct)}
            )


def _numbers_of_classes(site: LossSite) -> bool:
    """One number an example, and its targets just 0, 1, …, C − 1 (or 1, …, C)."""
    rows = site.shape[0] if site.shape else 0
    sizes = [n for shape in (site.shape, site.target_shape) for n in shape[1:] if n != 1]
    many = len(site.first_targets) * max(site.calls, 1) >= TARGETS
    if not site.whole_targets or not rows or sizes or not many or not FEWEST <= len(site.distinct) <= MOST:
        return False
    first = min(site.distinct)
    return first in (0.0, 1.0) and max(site.distinct) == first + len(site.distinct) - 1


rule = Rule(
    code="regression-on-classes",
    level="note",
    kind="statistic",
    area="loss",
    judge=judge,
    en=Text(
        title="the targets look like class numbers, and the loss measures distances",
        seen="the targets of {loss} are {kinds} whole numbers up to {high:.0f}, one for each example",
        why="if they are names of classes, a distance between them has no meaning: the model learns to answer the "
        "middle "
        "where it is unsure; for ratings or counts all is well",
        fix="for classes, give the model one output per class and use F.cross_entropy(logits, y.long())",
        looks="The loss stops early, the outputs lie between the class numbers, and rounding them gives poor accuracy.",
    ),
    zh=Text(
        title="目标看起来是类别编号，而损失计算的是距离",
        seen="{loss} 的目标是 {kinds} 个不同的整数，最大到 {high:.0f}，每个样本一个",
        why="如果它们只是类别的编号，编号之间的距离没有意义：模型拿不准时只会输出中间值；如果是评分或计数则没有问题",
        fix="如果是分类，让模型每类一个输出，并使用 F.cross_entropy(logits, y.long())",
        looks="损失很早就不再下降，输出落在类别编号之间，四舍五入后准确率很低。",
    ),
    wrong="""
model = nn.Linear(64, 1)
loss = F.mse_loss(model(x).squeeze(1), digit.float())
""",
    right="""
model = nn.Linear(64, 10)
loss = F.cross_entropy(model(x), digit)
""",
)
