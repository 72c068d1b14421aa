"""NaN or infinity that was in the inputs or the targets already."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Place, Signals

INPUTS = ("inputs", "输入")
TARGETS = ("targets", "目标值")
DATA = ("inputs or targets", "输入或目标值")


def judge(seen: Signals) -> Iterator[Found]:
    first = min((b.broken_at for b in seen.backwards if b.broken_at is not None), default=None)
    for site in seen.losses:
        if site.unfinite_data and _first(site.values, first):
            yield _found(site.place, TARGETS if site.unfinite_data == "targets" else INPUTS)
            return
    for backward in seen.backwards:
        if backward.broken != "loss" or backward.data_finite or not backward.weights_finite:
            continue
        if backward.broken_at == first:
            yield _found(backward.place, DATA)
            return
    bad = {check.source for check in seen.checks if check.loss is not None and check.loss != check.loss}
    for rows in seen.rows:
        if not rows.gradient and rows.inputs.unfinite and rows.source in bad and first is None:
            yield _found(rows.place, INPUTS)
            return


def _first(values: list[tuple[int, float]], broken: int | None) -> bool:
    """Whether a loss broke no later than any other: after that the weights may have made what isn't finite."""
    at = next((update for update, value in values if value != value or value in (float("inf"), -float("inf"))), None)
    return at is not None and (broken is None or at <= broken)


def _found(place: Place | None, what: tuple[str, str]) -> Found:
    return Found(place, numbers={"what": what})


rule = Rule(
    code="nan-in-data",
    level="fault",
    kind="exact",
    area="data",
    judge=judge,
    hides=(
        "nan-made",
        "exploding-gradient",
        "lr-too-high",
        "dead-relu",
        "optimisation-stuck",
        "model-too-small",
        "initial-loss-high",
        "vanishing-gradient",
        "inputs-not-scaled",
        "one-class-predicted",
        "labels-misaligned",
        "overfitting",
        "split-mismatch",
    ),
    en=Text(
        title="the data hold NaN or infinity",
        seen="the {what} of the first loss that isn't a number held NaN or infinity themselves, before the model "
        "had any",
        why="one NaN in a batch makes the loss NaN, its gradient makes all weights NaN, and nothing brings them back",
        fix="clean the data before training: look with torch.isfinite(x).all(), then fill the gaps, as by "
        "x = torch.nan_to_num(x), or leave these rows out",
        looks="The loss is nan from the first epoch on, with any learning rate.",
    ),
    zh=Text(
        title="数据里有 NaN 或无穷大",
        seen="第一次出现非数值的损失时，{what}本身就含有 NaN 或无穷大，并不是模型算出来的",
        why="一个批次里只要有一个 NaN，损失就是 NaN，它的梯度会把所有权重变成 NaN，之后再也恢复不了",
        fix="训练前先清洗数据：用 torch.isfinite(x).all() 检查，再填补缺失值，如 x = torch.nan_to_num(x)，或去掉这些行",
        looks="从第一个 epoch 起损失就是 nan，换任何学习率都一样。",
    ),
    wrong="""
x = torch.tensor(table)              # cells that were never filled in are nan
loss = F.mse_loss(model(x[rows]), y[rows])
""",
    right="""
x = torch.tensor(table)
x = torch.where(torch.isfinite(x), x, x.nanmean(0))
loss = F.mse_loss(model(x[rows]), y[rows])
""",
)
