"""Gradients that are never cleared: each update also uses those of all batches before."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import OptimizerSeen, Signals

TIMES = 3  # updates on gradients that an update had used already: the first could be meant
SHARE = 0.2  # of the updates: `zero_grad` in each second or fifth step leaves that many


def judge(seen: Signals) -> Iterator[Found]:
    for optimizer in seen.optimizers:
        if on_used(optimizer) and optimizer.zeroed == 0:
            numbers = {"stale": optimizer.stale, "steps": optimizer.steps}
            yield Found(optimizer.line or optimizer.place, optimizer.kind, numbers=numbers)


def on_used(optimizer: OptimizerSeen) -> bool:
    """Whether many of its updates used gradients that lay on those of an update before."""
    return optimizer.stale >= max(TIMES, SHARE * optimizer.steps)


rule = Rule(
    code="zero-grad-missing",
    level="fault",
    kind="exact",
    area="optimizer",
    judge=judge,
    hides=(
        "exploding-gradient", "lr-too-high", "optimisation-stuck", "dead-relu", "saturated-units", "clip-misplaced",
        "accumulation-not-divided", "nan-made", "overfitting", "model-too-small", "one-class-predicted",
    ),
    en=Text(
        title="the gradients are never cleared",
        seen="{stale} of {steps} updates of {subject} used gradients with those of earlier updates still in them; "
        "zero_grad() was never called",
        why="backward() adds to .grad; without clearing, each update follows the sum of all batches since the "
        "beginning, "
        "not the batch at hand",
        fix="call optimizer.zero_grad() in each step, just before loss.backward()",
        looks="The loss falls at first, then jumps about or rises, as if the learning rate grew with each step.",
    ),
    zh=Text(
        title="梯度从未清零",
        seen="{subject} 的 {steps} 次更新里有 {stale} 次用到了还留着之前更新梯度的 .grad；zero_grad() 一次也没有调用",
        why="backward() 是往 .grad 上累加的；不清零，每次更新用的就是从训练开始以来所有批次梯度之和，而不是当前这一批"
        "的梯度",
        fix="每一步在 loss.backward() 之前调用 optimizer.zero_grad()",
        looks="损失开始会下降，随后来回跳动甚至上升，就像学习率在一步步变大。",
    ),
    wrong="""
for x, y in loader:
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
""",
    right="""
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
""",
)  # fmt: skip
