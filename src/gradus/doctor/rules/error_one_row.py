"""Batch norm is given one value a unit, in training."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = ("Expected more than 1 value per channel when training",)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is not None and any(words in error.message for words in SAYS):
        says = error.message.splitlines()[0]
        layer = f"{error.module or error.module_kind}: {error.module_says}" if error.module_kind else ""
        yield Found(error.place, layer, numbers={"says": says})


rule = Rule(
    code="error-one-row",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="batch norm has a single row to normalise",
        seen="{says}",
        why="of one value the deviation is 0; it comes of a last batch with one row, or of a prediction "
        "for one row in training mode",
        fix="DataLoader(…, drop_last=True) for training; model.eval() before predicting",
        looks="ValueError: Expected more than 1 value per channel when training, often in the last batch "
        "of the first epoch.",
    ),
    zh=Text(
        title="batch norm 只有一行可用来归一化",
        seen="{says}",
        why="一个数的标准差是 0；原因是最后一个 batch 只有一行，或者在训练模式下对一行做预测",
        fix="训练用 DataLoader(…, drop_last=True)；预测之前先 model.eval()",
        looks="报错 ValueError: Expected more than 1 value per channel when training，常在第一个 epoch "
        "的最后一个 batch。",
    ),
    wrong="""
loader = DataLoader(rows_1025, batch_size=32)          # the last batch has one row
""",
    right="""
loader = DataLoader(rows_1025, batch_size=32, drop_last=True)
""",
)
