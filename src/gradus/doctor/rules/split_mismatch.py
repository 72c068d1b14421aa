"""Training rows and validation rows that were prepared differently."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Check, Rows, Signals

SHIFT = 0.5  # difference of the means / deviation, and
RATIO = 2.0  # deviation / deviation: a feasibility sketch told these (none in 28 sound programs)
LEAST = 16  # rows of each side
COLUMN = 1.5  # difference of the means of the middle column / its deviation
DRIFT = 3.0  # SHIFT of what isn't a picture: a series may have moved on by itself, too; its RATIO is twice as wide


def judge(seen: Signals) -> Iterator[Found]:
    like = False
    found: list[tuple[Rows, bool, dict[str, object]]] = []
    for rows in seen.rows:
        if rows.gradient or rows.inputs.seen < 1 or rows.inputs.unfinite or len(rows.signatures) < LEAST:
            continue
        checks = [check for check in seen.checks if check.source == rows.source and _told(check)]
        before = _training(seen, rows)
        if before is None or not checks or rows.in_training > 0.5 * len(rows.signatures):
            continue
        a, b = before.inputs, rows.inputs
        if not all(math.isfinite(v) for v in (a.mean, a.std, b.mean, b.std)) or a.std <= 0:
            continue
        shift, ratio = abs(a.mean - b.mean) / a.std, b.std / a.std
        column = _columns(before, rows)
        if shift <= SHIFT and 1 / RATIO <= ratio <= RATIO and column <= COLUMN:
            like = True
            continue
        if _worse(seen, checks):
            sure = len(rows.shape) == 4 or shift > DRIFT or column > DRIFT
            wide = RATIO if len(rows.shape) == 2 else 2 * RATIO
            sure |= not 1 / wide <= ratio <= wide
            found.append((rows, sure, {"mean": a.mean, "std": a.std, "other_mean": b.mean, "other_std": b.std}))
    for rows, sure, numbers in found[:1]:  # where other rows are like those of training, these differ on purpose
        yield Found(rows.place, level="note" if like or not sure else None, numbers=numbers)


def _told(check: Check) -> bool:
    return (check.loss is not None and check.targets >= LEAST) or check.judged >= LEAST


def _training(seen: Signals, rows: Rows) -> Rows | None:
    """The training rows of the same model, or else of the same width."""
    groups = [g for g in seen.rows if g.gradient and g.shape[1:] == rows.shape[1:] and g.inputs.seen]
    groups = [g for g in groups if len(g.signatures) >= LEAST and not g.inputs.unfinite]
    own = [g for g in groups if g.model == rows.model] or groups
    return max(own, key=lambda g: g.batches, default=None)


def _columns(a: Rows, b: Rows) -> float:
    """How far the middle column of two tables has moved, in deviations."""
    if len(a.features) != len(b.features) or min(a.shape[0], b.shape[0]) < LEAST:
        return 0.0
    pairs = zip(a.features, b.features, strict=True)
    moved = [abs(m - n) / s for (m, s), (n, _) in pairs if s > 0 and math.isfinite(m + n + s)]
    return median(moved) if len(moved) >= 2 else 0.0


def _worse(seen: Signals, checks: list[Check]) -> bool:
    """Whether the model does far worse on the other rows than in training, and not only in the end."""
    site = next(iter(seen.training), None)
    late = checks[len(checks) // 2 :]
    right = [check.accuracy for check in late if check.accuracy is not None]
    if site is not None and site.judged >= LEAST and right and site.correct / site.judged - median(right) > 0.15:
        return True  # its accuracy in training is that of the whole run, a floor
    losses = [check.loss for check in late if check.loss is not None]
    last = site.last if site is not None else None
    if not losses or last is None or site is None or site.name != checks[-1].name:
        return False
    return not median(losses) <= 1.5 * last + 0.05 * (site.first or 0.0)


rule = Rule(
    code="split-mismatch",
    level="likely",
    kind="statistic",
    area="data",
    judge=judge,
    hides=("overfitting", "evaluating-in-train-mode", "labels-misaligned"),
    en=Text(
        title="validation rows were prepared otherwise than training rows",
        seen="training inputs have mean {mean:.3g} and deviation {std:.3g}, those of the validation "
        "{other_mean:.3g} and {other_std:.3g}; the model is much worse on these",
        why="the model learnt numbers of one scale and is measured on another",
        fix="one function for both: x = (x - mean) / std, with mean and std of the training rows",
        looks="Training goes well, validation is poor from the first epoch on.",
    ),
    zh=Text(
        title="验证数据和训练数据的预处理不一致",
        seen="训练输入的均值为 {mean:.3g}、标准差为 {std:.3g}，验证输入为 {other_mean:.3g} 和 {other_std:.3g}；"
        "模型在验证数据上差得多",
        why="模型学的是一种尺度的数值，评估时却用了另一种",
        fix="两边用同一个函数：x = (x - mean) / std，其中 mean 和 std 都来自训练集",
        looks="训练很顺利，验证结果从第一个 epoch 起就很差。",
    ),
    wrong="""
train = Digits(train_rows, transform=normalise)
test = Digits(test_rows, transform=to_tensor)
""",
    right="""
train = Digits(train_rows, transform=normalise)
test = Digits(test_rows, transform=normalise)
""",
)
