"""The memory didn't suffice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = ("OutOfMemoryError", "can't allocate memory", "out of memory", "not enough memory", "MemoryError")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in f"{error.kind} {error.message}" for words in SAYS):
        return
    asked = re.search(r"(?:allocate|Tried to allocate) ([\d.]+ ?\w*)", error.message)
    nodes = seen.main.nodes if seen.main else []
    grew = len(nodes) > 2 and nodes[-1][1] > 1.5 * nodes[0][1]
    kept = seen.kept.added > 1 or (len(seen.kept.alive) > 2 and seen.kept.alive[-1][1] > seen.kept.alive[0][1] + 2)
    shapes = "; ".join(f"{t.name}: {t.shape}" for t in error.tensors)
    change = (
        ("don't keep graphs: add loss.item(), not loss", "不要保留计算图：累加 loss.item() 而不是 loss")
        if kept or grew
        else ("halve the batch size, and accumulate gradients over two of them", "把批大小减半，并累积两批的梯度")
    )
    yield Found(
        error.place,
        numbers={
            "asked": asked[1] if asked else ("memory", "内存"),
            "shapes": shapes or ("no tensor on the line", "该行没有张量"),
            "change": change,
            "updates": seen.updates,
        },
    )


rule = Rule(
    code="error-memory",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the memory doesn't suffice",
        seen="{asked} more was asked for after {updates} updates; {shapes}",
        why=(
            "activations grow with the batch and with the square of a sequence's length; a wrong "
            "broadcast, or graphs that are kept, can ask for far more than was meant"
        ),
        fix="{change}",
        looks="OutOfMemoryError, or DefaultCPUAllocator: can't allocate memory.",
    ),
    zh=Text(
        title="内存不够",
        seen="{updates} 次更新之后还要再申请 {asked}；{shapes}",
        why="激活值随批大小增长，随序列长度的平方增长；错误的广播或没有释放的计算图会要得更多",
        fix="{change}",
        looks="报错 OutOfMemoryError，或 DefaultCPUAllocator: can't allocate memory。",
    ),
    wrong="""
distance = (a[:, None] - b[None]).pow(2).sum(-1)     # (N, M, features) at once
""",
    right="""
distance = torch.cdist(a, b)                          # (N, M)
""",
)
