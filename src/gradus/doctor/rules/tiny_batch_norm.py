"""Batch norm that takes its mean and deviation of two values, or hardly more."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.course import median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import BackwardSite, Signals

PROOF = 2  # values of a unit: normalised they are +1 and −1, whatever they were
FEW = 8  # values, where the examples are one or two
SHARE = 0.5  # of the training passes: a last batch that is small is no matter


def judge(seen: Signals) -> Iterator[Found]:
    model = max((m for m in seen.models if m.norms and m.training), key=lambda m: m.training, default=None)
    if model is None:
        return
    often = model.small_norms > SHARE * model.training
    values = _values(seen.backwards)
    if values is None:
        return
    level = "fault" if values <= PROOF else "likely" if often and values <= FEW else "note" if often else None
    if level is not None:
        yield Found(
            model.place, model.norms[0], "fault" if level == "fault" else "likely" if level == "likely" else "note",
            {"values": values, "rows": model.least_rows, "norms": len(model.norms)},
        )  # fmt: skip


def _values(sites: list[BackwardSite]) -> int | None:
    """In the middle one of the looks, the least number of values that a unit was normalised over."""
    seen = [float(value) for site in sites for value in site.norm_values]
    return int(median(seen)) if len(seen) >= 3 else None


rule = Rule(
    code="tiny-batch-norm",
    level="fault",
    kind="exact",
    area="model",
    judge=judge,
    hides=(
        "lr-too-high",
        "exploding-gradient",
        "vanishing-gradient",
        "dead-relu",
        "optimisation-stuck",
        "overfitting",
        "model-too-small",
    ),
    en=Text(
        title="batch norm has too few values to take a mean of",
        seen="in training, {subject} normalises each unit over {values} values",
        why="the mean and deviation of so few values are noise: of two values it makes +1 and −1, whatever they were, "
        "and in evaluation it uses other ones than those that it trained with",
        fix="make the batch larger (batch_size=32), or use nn.LayerNorm or nn.GroupNorm, which don't look at the batch",
        looks="The training loss is noisy and stays high; validation differs from training from the beginning.",
    ),
    zh=Text(
        title="batch norm 用来求均值的数值太少",
        seen="训练时 {subject} 对每个单元只用 {values} 个数值做归一化",
        why="这么少的数值求出的均值和标准差只是噪声：两个数归一化后总是 +1 和 −1，与原来的大小无关；"
        "而评估时用的又是另一套统计量",
        fix="把 batch 调大（batch_size=32），或者改用不依赖 batch 的 nn.LayerNorm、nn.GroupNorm",
        looks="训练损失噪声很大、降不下来；验证结果从一开始就和训练不一致。",
    ),
    wrong="""
model = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
loader = DataLoader(rows, batch_size=2, shuffle=True)
""",
    right="""
model = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
loader = DataLoader(rows, batch_size=32, shuffle=True)
""",
)
