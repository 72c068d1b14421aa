"""Of unbalanced classes the model answers the commonest for every example."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from statistics import mean

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals

COMMON = 0.7  # share of the commonest label: of balanced classes one answer has other causes
SAME = 0.998  # of the newest answers
OTHERS = 20  # labels of other classes, at least
LABELS = 300
UPDATES = 60
LEARNT = 0.5  # of the loss of guessing by frequency: below, the classes are told apart
FALLING = 0.8  # last quarter's loss / that of the quarter before: below, it is still learning


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        total, kinds = site.labels.total(), len(site.labels)
        if total < LABELS or kinds < 2 or seen.updates < UPDATES:
            continue
        common, most = site.labels.most_common(1)[0]
        answers = sum(site.recent[-max(20, len(site.recent) // 4) :], Counter[int]())
        if most < COMMON * total or total - most < OTHERS or answers[common] < SAME * max(answers.total(), 1):
            continue
        late = [c for c in seen.of_validation() if c.predicted_labels]
        given = sum((c.predicted_labels for c in late[len(late) // 2 :]), Counter[int]())
        if (given and given[common] < SAME * given.total()) or not _settled(site):
            continue
        numbers = {"share": most / total, "common": common, "others": total - most}
        yield Found(site.place, level="note" if site.weighted else None, numbers=numbers)
        return


def _settled(site: LossSite) -> bool:
    """Whether the loss has come to rest near that of guessing by frequency."""
    values = [value for _, value in site.values if math.isfinite(value)]
    quarter, total = len(values) // 4, site.labels.total()
    if quarter < 5:
        return False
    guess = -sum(n / total * math.log(n / total) for n in site.labels.values())
    late, before = mean(values[-quarter:]), mean(values[-2 * quarter : -quarter])
    return late >= FALLING * before and (site.weighted or late >= LEARNT * guess)


rule = Rule(
    code="one-class-predicted",
    level="likely",
    kind="statistic",
    area="result",
    judge=judge,
    hides=("optimisation-stuck", "model-too-small", "lr-too-low", "overfitting"),
    en=Text(
        title="the model answers the commonest class for everything",
        seen="{share:.0%} of the labels are class {common}, and so are nearly all answers; the {others} others "
        "are never "
        "found",
        why="where one class is so common, saying it always is nearly the least loss; accuracy looks high and means "
        "nothing",
        fix="weigh the classes in the loss: nn.CrossEntropyLoss(weight=n / (C * counts)), "
        "nn.BCEWithLogitsLoss(pos_weight=negatives / positives); judge by recall or AUROC",
        looks="Accuracy equals the share of the commonest class from the start, and no example of the rare ones "
        "is found.",
    ),
    zh=Text(
        title="模型对所有样本都回答最多的那一类",
        seen="{share:.0%} 的标签是类别 {common}，几乎所有回答也是它；另外 {others} 个样本从未被认出",
        why="某一类占绝大多数时，永远答它损失就接近最低；准确率看着很高，却没有意义",
        fix="在损失里给类别加权：nn.CrossEntropyLoss(weight=n / (C * counts)) 或 "
        "nn.BCEWithLogitsLoss(pos_weight=negatives / positives)；用召回率或 AUROC 评估",
        looks="准确率从一开始就等于最多那一类的占比，少数类一个也认不出来。",
    ),
    wrong="""
loss = F.cross_entropy(model(x), y)               # 3 rows in 100 are of class 1
""",
    right="""
counts = torch.bincount(y_train).float()
loss = F.cross_entropy(model(x), y, weight=counts.sum() / (len(counts) * counts))
""",
)
