"""Gradients that are cleared at the wrong time: once an epoch, before the update, or inside an accumulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.rules.zero_grad_missing import on_used
from gradus.doctor.signals import OptimizerSeen, Signals

TIMES = 3
CLEARED = 0.5  # of the updates without gradient, for they were cleared before it
MOST = 0.5  # of backward passes thrown away: what is left over at an epoch's end is always less than half
SOME = 0.2  # and so much where, besides, updates are made of unequal numbers of passes


def judge(seen: Signals) -> Iterator[Found]:
    for optimizer in seen.optimizers:
        steps, zeroed = optimizer.steps, optimizer.zeroed
        what: tuple[str, str] | None = None
        if on_used(optimizer) and zeroed:
            what = (
                f"zero_grad() was called {zeroed} times, but in {optimizer.stale} of {steps} updates the gradients of "
                "earlier updates were still there",
                f"zero_grad() 只调用了 {zeroed} 次，{steps} 次更新里有 {optimizer.stale} 次还留着之前更新用过的梯度",
            )
        elif optimizer.cleared >= max(TIMES, CLEARED * steps):
            what = (
                f"in {optimizer.cleared} of {steps} updates zero_grad() came between backward() and step(): there was "
                "no gradient left to update with",
                f"{steps} 次更新里有 {optimizer.cleared} 次在 backward() 和 step() 之间调用了 zero_grad()，更新时已经"
                f"没有梯度",
            )
        elif _thrown(optimizer):
            passes = optimizer.thrown + sum(optimizer.accumulated)
            what = (
                f"the gradients of {optimizer.thrown} of about {passes} backward passes were cleared before any update "
                "had used them",
                f"约 {passes} 次反向传播中有 {optimizer.thrown} 次的梯度还没被任何更新用到就被清掉了",
            )
        if what is not None:
            numbers: dict[str, Any] = {"what": what, "zeroed": zeroed, "steps": steps}
            numbers |= {"stale": optimizer.stale, "cleared": optimizer.cleared, "thrown": optimizer.thrown}
            yield Found(optimizer.zero_place or optimizer.place, optimizer.kind, numbers=numbers)


def _thrown(optimizer: OptimizerSeen) -> bool:
    """Whether so many gradients were cleared unused that it can't be the rest of an epoch that is left out."""
    if optimizer.thrown < TIMES or not optimizer.accumulated:
        return False
    used = sum(optimizer.accumulated) / len(optimizer.accumulated) * optimizer.steps
    share = optimizer.thrown / (optimizer.thrown + used)
    _, usual = Counter(optimizer.accumulated).most_common(1)[0]
    return share >= MOST or (share >= SOME and usual < 0.8 * len(optimizer.accumulated))


rule = Rule(
    code="zero-grad-misplaced",
    level="fault",
    kind="exact",
    area="optimizer",
    judge=judge,
    hides=(
        "exploding-gradient", "lr-too-high", "lr-too-low", "optimisation-stuck", "dead-relu", "saturated-units",
        "accumulation-not-divided", "nan-made", "overfitting", "model-too-small", "vanishing-gradient",
        "one-class-predicted", "weight-decay-dominates",
    ),
    en=Text(
        title="the gradients are cleared at the wrong time",
        seen="{what}",
        why="an update must use the gradients gathered since the last update: all of them, and no others",
        fix="clear once per update: optimizer.zero_grad() right after optimizer.step() (or just before the first "
        "backward() that belongs to the next update)",
        looks="The loss jumps about or grows within an epoch; or it doesn't move at all; or accumulating gradients "
        "over "
        "more batches changes nothing.",
    ),
    zh=Text(
        title="梯度清零的时机不对",
        seen="{what}",
        why="每次更新应该正好使用上一次更新以来累积的梯度，不能多也不能少",
        fix="每次更新清零一次：紧跟在 optimizer.step() 之后（或在属于下一次更新的第一个 backward() 之前）调用 "
        "optimizer.zero_grad()",
        looks="损失在一个 epoch 内来回跳动或上升；或者完全不动；或者梯度累积多少步都没有区别。",
    ),
    wrong="""
for epoch in range(epochs):
    optimizer.zero_grad()
    for x, y in loader:
        criterion(model(x), y).backward()
        optimizer.step()
""",
    right="""
for epoch in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
""",
)  # fmt: skip
