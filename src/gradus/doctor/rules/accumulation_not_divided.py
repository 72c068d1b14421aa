"""Gradients of several batches are added up, and the losses not divided by their number."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mode

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import BackwardSite, Event, OptimizerSeen, Place, Signals

UPDATES = 5  # that must have been seen
FEW = 3  # without a loader two passes of a line may be two parts of a loss: real and made-up examples
ALIKE = 0.8  # of the updates came after equally many batches: the last of an epoch may have fewer
MEANS = {
    "nllloss", "nllloss2d", "mseloss", "l1loss", "smoothl1loss", "huberloss", "binarycrossentropy",
    "binarycrossentropywithlogits", "mean",
}  # fmt: skip
"""What a backward pass begins at where the mean over a batch wasn't divided or multiplied any more."""
SCALE_MATTERS = ("SGD", "ASGD")  # Adam and alike divide by the gradient's size: a factor changes little


def judge(seen: Signals) -> Iterator[Found]:
    for optimizer in seen.optimizers:
        times = _batches(optimizer)
        site = next((b for b in seen.backwards if b.place == optimizer.line), None)
        if times < 2 or site is None or site.op not in MEANS or site.shape not in ((), (1,)):
            continue
        sites = seen.training
        if any(s.reduction != "mean" or not s.target_shape or s.target_shape[0] < 2 for s in sites):
            continue
        if not _a_batch_each(seen, site, times):
            continue
        level = "likely" if optimizer.kind in SCALE_MATTERS and sites else "note"
        numbers = {"k": times, "kind": optimizer.kind, "rate": optimizer.lr, "effective": optimizer.lr * times}
        yield Found(site.place, level=level, numbers=numbers)  # type: ignore[arg-type]


def _batches(optimizer: OptimizerSeen) -> int:
    """How many backward passes of one line came before each update, where it was nearly always the same number."""
    counts = optimizer.accumulated
    if len(counts) < UPDATES:
        return 0
    usual = mode(counts)
    return usual if counts.count(usual) >= ALIKE * len(counts) else 0


def _a_batch_each(seen: Signals, site: BackwardSite, times: int) -> bool:
    """Whether each backward pass had one forward pass of its own, on a batch of its own: no tasks, no pieces."""
    loaded = any(loader.training for loader in seen.loaders)
    if not loaded and times < FEW:
        return False
    models: set[int] = set()
    between: list[Event] = []
    before: int | None = None
    good = all_ = 0
    for event in seen.events:
        if event.kind != "backward" or not _same(event.place, site.place):
            between.append(event)
            continue
        if before == event.update and not any(e.kind == "step" for e in between):
            kinds = [e.kind for e in between]
            all_ += 1
            models.update(e.index for e in between if e.kind == "forward")
            good += kinds.count("forward") == 1 and (not loaded or "batch" in kinds) and "zero" not in kinds
        before, between = event.update, []
    return all_ >= UPDATES and good >= ALIKE * all_ and len(models) == 1


def _same(one: Place | None, other: Place | None) -> bool:
    return one is not None and other is not None and (one.file, one.line) == (other.file, other.line)


rule = Rule(
    code="accumulation-not-divided",
    level="likely",
    kind="statistic",
    area="optimizer",
    judge=judge,
    hides=("lr-too-high", "exploding-gradient", "optimisation-stuck", "dead-relu", "saturated-units"),
    en=Text(
        title="the accumulated losses aren't divided by their number",
        seen="{k} backward passes before each update, each of the mean loss of its batch, undivided: {kind} steps as "
        "far "
        "as with a learning rate of {effective:.3g} (it is {rate:.3g})",
        why="backward adds gradients up; the sum of {k} means is {k} times the mean over all {k} batches, so each "
        "step is "
        "{k} times too long",
        fix="divide each loss: (loss / {k}).backward()",
        looks="Training is restless or diverges, and calms down when the learning rate is lowered.",
    ),
    zh=Text(
        title="梯度累积时损失没有除以累积次数",
        seen="每次更新前做了 {k} 次反向传播，每次都是一个批的平均损失，没有再除：{kind} 的步长相当于学习率 "
        "{effective:.3g}"
        "（设置的是 {rate:.3g}）",
        why="反向传播会把梯度累加；{k} 个平均值之和是全部 {k} 个批平均值的 {k} 倍，所以每一步都长了 {k} 倍",
        fix="每次的损失先除以累积次数：(loss / {k}).backward()",
        looks="训练抖动甚至发散，调低学习率后才平稳。",
    ),
    wrong="""
for i, (x, y) in enumerate(loader, start=1):
    F.cross_entropy(model(x), y).backward()
    if i % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
    right="""
for i, (x, y) in enumerate(loader, start=1):
    (F.cross_entropy(model(x), y) / 4).backward()
    if i % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
)
