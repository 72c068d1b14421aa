"""A learning-rate schedule is stepped more often than it was made for, or without its metric."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

OVER = re.compile(r"Tried to step (\d+) times\. The specified number of total steps is (\d+)")
METRIC = "ReduceLROnPlateau.step() missing 1 required positional argument: 'metrics'"
LONGER = (
    "make it as long as it is stepped: total_steps=epochs * len(loader), or step it once an epoch",
    "总步数要与 step 的次数一致：total_steps=epochs * len(loader)，或者每个 epoch 只 step 一次",
)
VALID = (
    "scheduler.step(validation_loss), once an epoch, after the validation",
    "每个 epoch 验证之后：scheduler.step(validation_loss)",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    over = OVER.search(error.message)
    if over is not None:
        yield Found(error.place, numbers={"says": error.message, "change": LONGER})
    elif METRIC in error.message:
        yield Found(error.place, numbers={"says": error.message, "change": VALID})


rule = Rule(
    code="error-schedule",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the schedule can't be stepped so",
        seen="{says}",
        why="OneCycleLR knows its length from the beginning, and ReduceLROnPlateau looks at a figure to "
        "decide: neither can guess it",
        fix="{change}",
        looks="ValueError: Tried to step 1001 times; or a TypeError that 'metrics' is missing.",
    ),
    zh=Text(
        title="学习率调度器不能这样 step",
        seen="{says}",
        why="OneCycleLR 一开始就要知道总步数，ReduceLROnPlateau 要看一个指标才能决定：两者都猜不出来",
        fix="{change}",
        looks="报错 ValueError: Tried to step 1001 times；或 TypeError 说缺少 'metrics'。",
    ),
    wrong="""
scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=epochs)
for epoch in range(epochs):
    for x, y in loader:
        step(x, y)
        scheduler.step()                         # once a batch
""",
    right="""
scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=epochs * len(loader))
for epoch in range(epochs):
    for x, y in loader:
        step(x, y)
        scheduler.step()
""",
)
