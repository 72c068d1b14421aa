"""A schedule that is stepped before the optimizer."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Event, Place, Signals

UPDATES = 3


def judge(seen: Signals) -> Iterator[Found]:
    if seen.updates < UPDATES or seen.error is not None:
        return
    early = _early(seen.events)
    for scheduler in seen.schedulers:
        if scheduler.before_optimizer and scheduler.steps > 1 and early.count(scheduler.place) == 1:
            yield Found(scheduler.place, scheduler.kind, numbers={"steps": scheduler.steps, "updates": seen.updates})


def _early(events: list[Event]) -> list[Place | None]:
    """Lines that stepped a schedule before the first update; [] where it was only that the first update was skipped.

    A line that did it several times brings a schedule forward on purpose, to where a run was left.
    """
    found: list[Place | None] = []
    passed = behind = skipped = False
    for event in events:
        if event.kind == "step":
            return [] if skipped else found
        if event.kind == "backward":
            skipped |= behind  # backward, schedule, backward: a GradScaler left an update out
            passed = True
        elif event.kind == "schedule":
            found.append(event.place)
            behind |= passed
    return []


rule = Rule(
    code="scheduler-before-optimizer",
    level="fault",
    kind="exact",
    area="rate",
    judge=judge,
    en=Text(
        title="the schedule is stepped before the optimizer",
        seen="{subject}.step() ran before the first optimizer.step()",
        why="each learning rate is left one step too early: the first of the schedule is never used, and changes come "
        "an "
        "epoch (or a step) too soon",
        fix="call scheduler.step() after optimizer.step(): for a schedule of epochs, at the end of the epoch's loop",
        looks="PyTorch warns of “lr_scheduler.step() before optimizer.step()”; the first learning rate is missing "
        "from the "
        "log.",
    ),
    zh=Text(
        title="调度器在优化器之前就 step 了",
        seen="第一次 optimizer.step() 之前就调用了 {subject}.step()",
        why="每个学习率都提前一步用完：计划里的第一个学习率从未用过，之后的变化都早了一个 epoch（或一步）",
        fix="在 optimizer.step() 之后再调用 scheduler.step()：按 epoch 的调度放在 epoch 循环的末尾",
        looks="PyTorch 警告 “lr_scheduler.step() before optimizer.step()”；日志里没有出现最初的学习率。",
    ),
    wrong="""
for epoch in range(epochs):
    scheduler.step()
    for x, y in loader:
        train_step(x, y)
""",
    right="""
for epoch in range(epochs):
    for x, y in loader:
        train_step(x, y)
    scheduler.step()
""",
)
