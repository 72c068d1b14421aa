"""A DistributedSampler that is never told which epoch begins: it mixes the rows in the same way each time."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LoaderSeen, Signals


def judge(seen: Signals) -> Iterator[Found]:
    for loader in seen.loaders:
        if loader.shuffles:
            told = _trained(loader)
            if len(told) > 1 and len(set(told)) == 1:
                yield Found(loader.place, numbers={"epochs": len(told), "epoch": told[0], "shares": loader.shares})
                return


def _trained(loader: LoaderSeen) -> list[int]:
    """The sampler's own count of epochs, in each of those that passes with gradient were made in."""
    before = [passes for _, passes in loader.orders] + [loader.training]
    return [epoch for k, (epoch, _) in enumerate(loader.orders) if before[k + 1] > before[k]]


rule = Rule(
    code="sampler-epoch-not-set",
    level="fault",
    kind="exact",
    area="data",
    judge=judge,
    en=Text(
        title="each epoch reads the rows in the same order",
        seen="the DistributedSampler of this loader mixed the rows {epochs} times, each time as its epoch {epoch}",
        why="it draws its order from its seed and that number, so that all processes ({shares} here) draw the same: "
        "while nobody changes it, each epoch has the very same batches in the same order, on the same process",
        fix="sampler.set_epoch(epoch) as the first line of each epoch, before the loader is iterated",
        looks="Nothing fails. shuffle=True was asked for and is done once only; the loss of an epoch goes up and down "
        "in the same pattern as that of the one before, and the model generalises a little worse than it could.",
    ),
    zh=Text(
        title="每个 epoch 读取数据的顺序都一样",
        seen="这个加载器的 DistributedSampler 打乱了 {epochs} 次，每次都当作 epoch {epoch}",
        why="它由种子和 epoch 编号得出顺序，好让所有进程（这里 {shares} 个）得到同一个顺序；编号不变，"
        "每个 epoch 的 batch 及其顺序、所在进程就完全相同",
        fix="每个 epoch 开头、遍历加载器之前加一行：sampler.set_epoch(epoch)",
        looks="不会报错。要求了 shuffle=True，实际只打乱一次；每个 epoch 内损失的起伏都一样，泛化比应有的差一点。",
    ),
    wrong="""
sampler = DistributedSampler(train_set, shuffle=True)
loader = DataLoader(train_set, batch_size=32, sampler=sampler)
for epoch in range(10):
    for x, y in loader:
        step(x, y)
""",
    right="""
sampler = DistributedSampler(train_set, shuffle=True)
loader = DataLoader(train_set, batch_size=32, sampler=sampler)
for epoch in range(10):
    sampler.set_epoch(epoch)
    for x, y in loader:
        step(x, y)
""",
)
