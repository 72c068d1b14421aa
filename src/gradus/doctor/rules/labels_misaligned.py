"""Inputs and labels that don't belong together: what is learnt is learnt by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import mean

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import Check, LossSite, Signals

CHANCE = 0.97  # of the loss of guessing: validation and the first epoch above it learnt nothing of unseen rows
FIRST = 0.93  # the same of the first epoch's second half, whose rows are new to the model, too
HEART = 0.9  # of it: a training loss below has learnt something
JUDGED = 100  # answers of the validation, at least
ROWS = 150  # that an experiment with a plain network had
UPDATES = 40


def judge(seen: Signals) -> Iterator[Found]:
    site = next(iter(seen.training), None)
    if site is None or seen.updates < UPDATES or len(site.values) < UPDATES or site.weighted or site.smoothing:
        return
    guess = _guess(site)
    if _sorted(site) or not guess > 0 or site.reduction != "mean" or any(m.mixes for m in seen.models):
        return
    checks = [check for check in seen.of_validation() if check.name == site.name or check.judged]
    end = _first_epoch(seen, checks)
    fresh = [value for update, value in site.values if end / 2 <= update < end]
    last = site.last
    if len(fresh) < 5 or last is None or not math.isfinite(last) or not mean(fresh) >= FIRST * guess:
        return
    plain = seen.probe.plain if seen.probe.rows >= ROWS else None
    if (plain is not None and plain < CHANCE * guess) or not _at_chance(site, checks, guess):
        return
    heart = last < HEART * guess
    if not (heart or plain is not None):
        return
    level: Level = "likely" if checks else "note"
    losses = [check.loss for check in checks if check.loss is not None]
    yield Found(site.place, level=level, numbers=_numbers(guess, mean(fresh), last, losses))


def _numbers(guess: float, fresh: float, last: float, losses: list[float]) -> dict[str, object]:
    told = ("", "")
    if losses:
        told = (f", that of the validation was never below {min(losses):.2f}", f"，验证损失从未低于 {min(losses):.2f}")
    return {"guess": guess, "fresh": fresh, "last": last, "told": told}


def _guess(site: LossSite) -> float:
    """The loss of answers that know only how frequent each label is."""
    total = site.labels.total()
    if total and len(site.labels) > 1 and (site.classes or site.name.startswith("binary_cross_entropy")):
        return -sum(n / total * math.log(n / total) for n in site.labels.values())
    if site.name == "mse_loss" and site.targets.seen and not site.labels:
        return site.targets.std**2
    return 0.0


def _sorted(site: LossSite) -> bool:
    """Whether labels come in runs: then the newest rows tell nothing of the next, and other rules have their say."""
    same, pairs = site.neighbours
    total = max(site.labels.total(), 1)
    return pairs > 0 and same / pairs > sum((n / total) ** 2 for n in site.labels.values()) + 0.3


def _first_epoch(seen: Signals, checks: list[Check]) -> float:
    """Updates in which every row was new."""
    groups = [g for g in seen.rows if g.gradient and g.batches]
    main = max(groups, key=lambda g: g.batches, default=None)
    ends = [float(check.update) for check in checks if check.update > 0]
    if main is not None:
        ends.append(len(main.signatures) / max(main.signatures.total() / min(main.batches, 400), 1))
    return min(ends, default=0.0)


def _at_chance(site: LossSite, checks: list[Check], guess: float) -> bool:
    """Whether no validation did better than guessing."""
    judged = sum(check.judged for check in checks)
    losses = [check.loss for check in checks if check.loss is not None and check.name == site.name]
    if any(math.isfinite(loss) and loss < CHANCE * guess for loss in losses):
        return False
    if judged:
        total = max(site.labels.total(), 1)
        common = max(site.labels.values(), default=0) / total
        rows = max(check.judged for check in checks)
        if judged < JUDGED:
            return False
        right = sum(check.correct for check in checks) / judged
        return right <= common + 2.5 * math.sqrt(common * (1 - common) / rows)
    return bool(losses) or not checks


rule = Rule(
    code="labels-misaligned",
    level="likely",
    kind="trend",
    area="data",
    judge=judge,
    hides=(
        "overfitting",
        "optimisation-stuck",
        "model-too-small",
        "lr-too-low",
        "one-class-predicted",
        "lr-too-high",
        "vanishing-gradient",
    ),
    en=Text(
        title="inputs and labels don't seem to belong together",
        seen="guessing has a loss of {guess:.2f}; on rows that were new the training loss stayed at {fresh:.2f}, "
        "in the "
        "end it was {last:.2f}{told}",
        why="of labels that have nothing to do with their inputs a model can only learn single rows by heart, "
        "which helps "
        "with no other row",
        fix="shuffle, sort and filter both by the same index: order = torch.randperm(n); x, y = x[order], "
        "y[order]; print "
        "a few pairs and look at them",
        looks="The training loss falls late and slowly; validation stays at the level of guessing for good.",
    ),
    zh=Text(
        title="输入和标签似乎没有对应上",
        seen="乱猜的损失是 {guess:.2f}；在新样本上训练损失一直停在 {fresh:.2f}，最后为 {last:.2f}{told}",
        why="标签和输入无关时，模型只能逐条死记，对其他样本毫无帮助",
        fix="打乱、排序、筛选时两者要用同一个索引：order = torch.randperm(n); x, y = x[order], y[order]；"
        "打印几对样本看一看",
        looks="训练损失下降得又晚又慢，验证结果始终停在乱猜的水平。",
    ),
    wrong="""
images = images[torch.randperm(n)]
labels = labels[torch.randperm(n)]          # another order
""",
    right="""
order = torch.randperm(n)
images, labels = images[order], labels[order]
""",
)
