"""A list of losses with their graphs: memory grows with every step."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

LOOKS = 4  # looks in a row between which the number of losses rose each time
MANY = 10  # losses kept: a step's own (tasks, pieces, accumulation) may be a few, and don't become more


def judge(seen: Signals) -> Iterator[Found]:
    best = _growth(seen.kept.alive)
    if best is not None:
        updates, many = best
        yield Found(seen.kept.place, numbers={"many": many, "updates": updates})


def _growth(alive: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The last of a row of looks with ever more losses alive: (updates, losses)."""
    best: tuple[int, int] | None = None
    run = 0
    before = 0
    for update, many in alive:
        run = run + 1 if many > before else 1
        before = many
        if run >= LOOKS and many >= MANY and (best is None or many > best[1]):
            best = update, many
    return best


rule = Rule(
    code="losses-kept",
    level="fault",
    kind="exact",
    area="speed",
    judge=judge,
    en=Text(
        title="losses are kept together with their graphs",
        seen="{many} losses that had gone backward were still alive with their graphs after {updates} updates, and "
        "ever more",
        why="a loss tensor holds what autograd wrote down to make it; a list of them keeps all of that in memory",
        fix="keep the plain number: losses.append(loss.item()) (or loss.detach())",
        looks="Memory grows from step to step until it runs out; the losses themselves are right.",
    ),
    zh=Text(
        title="保存的损失还带着计算图",
        seen="{updates} 次更新之后，有 {many} 个做过反向传播的损失仍连同计算图留在内存里，而且越来越多",
        why="损失张量会保留 autograd 得到它的整个记录；把它们存进列表，这些记录就都留在内存里",
        fix="只保存数值：losses.append(loss.item())（或 loss.detach()）",
        looks="内存一步步增长直到耗尽，损失本身却是对的。",
    ),
    wrong="""
loss = F.cross_entropy(model(x), y)
loss.backward()
losses.append(loss)
""",
    right="""
loss = F.cross_entropy(model(x), y)
loss.backward()
losses.append(loss.item())
""",
)
