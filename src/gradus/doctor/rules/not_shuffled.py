"""Rows sorted by their class that are read in order: batches of one class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LoaderSeen, LossSite, Signals

BATCHES = 10  # that are looked at, at least
FEW = 0.3  # classes beyond the first in a batch / what mixed rows would have
SAME = 0.8  # of the neighbours in a batch that mixing would part, those of one class
ROWS = 4  # of a batch, at least
LOADER = ("; the loader doesn't shuffle", "；加载器没有打乱")


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        batches = [(found, rows) for found, rows in site.batch_labels if rows >= ROWS]
        if len(batches) < BATCHES or len(site.target_shape) != 1 or not _of_rows(seen, site):
            continue
        total = site.labels.total()
        shares = [count / total for count in site.labels.values()] if total else []
        expected = sum(sum(1 - (1 - p) ** rows for p in shares) - 1 for _, rows in batches) / len(batches)
        found = sum(kinds - 1 for kinds, _ in batches) / len(batches)
        chance = sum(p * p for p in shares)
        same, pairs = site.neighbours
        if expected < 0.5 or not pairs or chance > 0.95 or found > FEW * expected:
            continue
        alike = same / pairs
        if (alike - chance) / (1 - chance) < SAME or not _in_blocks(site, chance):
            continue
        loader = _loader(seen)
        numbers = {
            "kinds": found + 1, "expected": expected + 1, "share": alike,
            "told": ("", "") if loader is None else LOADER,
        }  # fmt: skip
        yield Found(loader.place if loader is not None else site.place, numbers=numbers)
        return


def _of_rows(seen: Signals, site: LossSite) -> bool:
    return site.target_shape[0] in {model.shape[0] for model in seen.models if model.shape}


def _in_blocks(site: LossSite, chance: float) -> bool:
    """Whether batches of one class follow one another: real and made examples by turns are something else."""
    tops = site.batch_tops
    if len(tops) < BATCHES:
        return False
    changes = sum(a != b for a, b in pairwise(tops)) / (len(tops) - 1)
    return changes < 0.7 * (1 - chance)


def _loader(seen: Signals) -> LoaderSeen | None:
    loaders = [loader for loader in seen.loaders if loader.training and loader.sampler == "SequentialSampler"]
    return max(loaders, key=lambda loader: loader.training, default=None)


rule = Rule(
    code="not-shuffled",
    level="likely",
    kind="statistic",
    area="data",
    judge=judge,
    hides=(
        "lr-too-high",
        "lr-too-low",
        "optimisation-stuck",
        "one-class-predicted",
        "overfitting",
        "model-too-small",
        "labels-misaligned",
        "dead-relu",
        "exploding-gradient",
        "split-mismatch",
    ),
    en=Text(
        title="the training rows are read class by class",
        seen="a batch holds {kinds:.1f} classes on average, mixed rows would give {expected:.1f}; {share:.0%} of "
        "neighbours have the same label{told}",
        why="each batch pulls the model towards its one class, and it forgets the others until their turn comes",
        fix="DataLoader(train_set, batch_size=…, shuffle=True), or take rows by torch.randperm(n) in each epoch",
        looks="The loss is low within a class and leaps at the next; validation is poor and goes up and down.",
    ),
    zh=Text(
        title="训练数据是按类别顺序读的",
        seen="每个批次平均只有 {kinds:.1f} 个类别，打乱后应有 {expected:.1f} 个；{share:.0%} 的相邻样本标签相同{told}",
        why="每个批次都把模型拉向自己那一类，轮到其他类别之前，模型已把它们忘了",
        fix="DataLoader(train_set, batch_size=…, shuffle=True)，或每个 epoch 用 torch.randperm(n) 取样本",
        looks="同一类内损失很低，换到下一类时突然升高；验证结果差，且上下波动。",
    ),
    wrong="""
loader = DataLoader(ImageFolder("train"), batch_size=32)      # folder after folder
""",
    right="""
loader = DataLoader(ImageFolder("train"), batch_size=32, shuffle=True)
""",
)
