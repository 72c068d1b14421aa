"""A schedule of epochs that is stepped with each batch: the learning rate is used up within the first of them."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import OptimizerSeen, SchedulerSeen, Signals

STEPS = 20
BATCHES = 4  # of an epoch: with fewer, a step a batch is nearly a step an epoch
OFTEN = 0.8  # schedule steps per update
EARLY = 0.12  # of all updates, where epochs couldn't be told
LOW = 0.3  # of the largest rate, and never above it again: no decay that was meant is over so soon
SPENT, GONE = 0.3, 0.01  # under 1 % of the rate for 70 % of the training: whatever the schedule
CYCLES = 2  # times that a cosine comes down within one epoch
DECAYS = ("StepLR", "MultiStepLR", "ExponentialLR", "ReduceLROnPlateau", "CosineAnnealingLR", "PolynomialLR")
PER_BATCH = ("OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts")  # made to be stepped so


def judge(seen: Signals) -> Iterator[Found]:
    epoch = batches_of_an_epoch(seen)
    if epoch is not None and epoch < BATCHES:
        return
    for scheduler in seen.schedulers:
        if scheduler.kind in PER_BATCH or scheduler.optimizer >= len(seen.optimizers):
            continue
        optimizer = seen.optimizers[scheduler.optimizer]
        if scheduler.steps < max(STEPS, OFTEN * scheduler.updates) or optimizer.steps < 2 * STEPS:
            continue
        at = _spent(scheduler, optimizer, epoch)
        if at is not None:
            rates = [rate for _, rate in optimizer.rates]
            numbers = {
                "at": at, "steps": optimizer.steps, "times": scheduler.steps, "first": max(rates),
                "last": rates[-1], "batches": round(epoch or 0), "lowest": min(rates),
            }  # fmt: skip
            yield Found(scheduler.place, scheduler.kind, numbers=numbers)


def batches_of_an_epoch(seen: Signals) -> float | None:
    """Batches that training takes for all its rows once; None where rows hardly come again."""
    loaders = [x for x in seen.loaders if x.training >= STEPS]
    if loaders:
        loader = max(loaders, key=lambda x: x.training)
        if loader.epochs >= 2:
            return loader.batches / loader.epochs
    groups = [g for g in seen.rows if g.gradient and g.signatures]
    if groups:
        group = max(groups, key=lambda g: g.batches)
        times = sum(group.signatures.values()) / len(group.signatures)
        if times >= 2:
            return min(group.batches, 400) / times
    return None


def _spent(scheduler: SchedulerSeen, optimizer: OptimizerSeen, epoch: float | None) -> int | None:
    """The update from which the learning rate had gone down for good; None where that isn't far too early."""
    rates = optimizer.rates
    if len(rates) < 2:
        return None
    highest = max(rate for _, rate in rates)
    if scheduler.kind == "CosineAnnealingLR":
        period = scheduler.settings.get("T_max", 0.0)
        length = epoch if epoch is not None else EARLY * optimizer.steps
        if period and 2 * CYCLES * period <= length and 4 * period <= scheduler.steps:
            return round(period)
    if highest <= 0:
        return None
    early = EARLY * optimizer.steps
    if epoch is not None and optimizer.steps >= 3 * epoch:
        early = max(early, epoch)
    low, gone = _under(optimizer, LOW * highest * 1.001), _under(optimizer, GONE * highest * 1.001)
    if scheduler.kind in DECAYS and low is not None and low <= early:
        return low
    return gone if gone is not None and gone <= SPENT * optimizer.steps else None


def _under(optimizer: OptimizerSeen, limit: float) -> int | None:
    """The update from which the rate stayed at or under a limit."""
    start: int | None = None
    for update, rate in optimizer.rates:
        if rate > limit:
            start = None
        elif start is None:
            start = update
    return start


rule = Rule(
    code="scheduler-per-batch",
    level="likely",
    kind="trend",
    area="rate",
    judge=judge,
    hides=("lr-too-low", "optimisation-stuck", "model-too-small", "vanishing-gradient"),
    en=Text(
        title="the schedule is stepped with each batch, and counts epochs",
        seen="{subject} was stepped {times} times in {steps} updates; after {at} of them the learning rate had fallen "
        "from "
        "{first:.2g} towards {lowest:.2g}",
        why="its settings count epochs; stepped with each batch, the schedule has run its course in the first one, "
        "and the "
        "rest of the training is done with hardly any learning rate",
        fix="move scheduler.step() out of the loop over batches, to the end of the epoch (or count batches in its "
        "settings)",
        looks="The loss falls for a moment, and then doesn't move at all.",
    ),
    zh=Text(
        title="按 epoch 设计的学习率调度，却每个批次都 step 一次",
        seen="{steps} 次更新里 {subject} 被 step 了 {times} 次；只过了 {at} 次更新，学习率就从 {first:.2g} 向 "
        "{lowest:.2g} 降下去了",
        why="它的参数是按 epoch 算的；每个批次都 step，整个计划在第一个 epoch 里就走完了，剩下的训练几乎没有学习率",
        fix="把 scheduler.step() 移到批次循环之外、每个 epoch 的末尾（或者把它的参数改成按批次计数）",
        looks="损失开头降一下，随后就完全不动了。",
    ),
    wrong="""
scheduler = StepLR(optimizer, step_size=10, gamma=0.1)
for epoch in range(30):
    for x, y in loader:
        train_step(x, y)
        scheduler.step()
""",
    right="""
scheduler = StepLR(optimizer, step_size=10, gamma=0.1)
for epoch in range(30):
    for x, y in loader:
        train_step(x, y)
    scheduler.step()
""",
)
