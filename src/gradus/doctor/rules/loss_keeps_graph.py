"""A running sum of losses with their graphs: memory grows with every step."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    kept = seen.kept
    if kept.grown:
        yield Found(kept.grown_place or kept.added_place or kept.place, numbers={"times": kept.grown})


rule = Rule(
    code="loss-keeps-graph",
    level="fault",
    kind="exact",
    area="speed",
    judge=judge,
    hides=("losses-kept",),
    en=Text(
        title="the running sum of losses keeps every step's graph in memory",
        seen="a loss that still has its graph was added to the sum of those of earlier steps, though they had gone "
        "backward",
        why="the sum wants gradients, so it holds on to what autograd wrote down in all steps: memory grows until the "
        "sum "
        "is thrown away",
        fix="add the plain number: total += loss.item() (or loss.detach())",
        looks="Memory grows from step to step until it runs out; the losses themselves are right.",
    ),
    zh=Text(
        title="累加的损失把每一步的计算图都留在了内存里",
        seen="还带着计算图的损失被加到了之前各步损失的和上，而那些损失已经做过反向传播",
        why="这个和仍然需要梯度，因此会一直保留 autograd 在所有步中的记录：在它被丢弃之前内存不断增长",
        fix="只累加数值：total += loss.item()（或 loss.detach()）",
        looks="内存一步步增长直到耗尽，损失本身却是对的。",
    ),
    wrong="""
loss = F.cross_entropy(model(x), y)
loss.backward()
total += loss
""",
    right="""
loss = F.cross_entropy(model(x), y)
loss.backward()
total += loss.item()
""",
)
