"""A loss that stands on a plateau, where the same model, taught anew from its first weights, gets far lower."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, broke, course
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

BETTER = 0.6  # times the loss that it stands at, which is reached on held-out rows: noise would stop that, too
UPDATES = 100


def judge(seen: Signals) -> Iterator[Found]:
    probe, went = seen.probe, course(seen)
    if went is None or broke(seen) or seen.updates < UPDATES or probe.memorised is None:
        return
    reached = min((loss for loss in (probe.again, probe.plain) if loss is not None), default=None)
    if reached is None or not went.stands(reached):
        return
    site = next((s for s in seen.training if s.from_model), None)  # that the experiments were made on
    stands = min(went.last, (site and site.last) or went.last)  # the whole may have terms that they hadn't
    judged = [c.loss for c in seen.of_validation() if c.loss is not None and site and c.name == site.name]
    if judged:  # dropout and augmentation make the training loss higher than it is
        stands = min(stands, sum(judged[-3:]) / len(judged[-3:]))
    elif any(m.stochastic for m in seen.models) and went.headway > HEADWAY:
        return
    if reached > BETTER * stands:
        return
    optimizer = max(seen.optimizers, key=lambda o: o.steps, default=None)
    yield Found(
        (optimizer.made or optimizer.place) if optimizer else None, optimizer.kind if optimizer else "",
        numbers={"last": went.last, "first": went.first, "reached": reached, "rows": probe.rows,
                 "updates": seen.updates},
    )  # fmt: skip


rule = Rule(
    code="optimisation-stuck",
    level="likely",
    kind="probe",
    area="result",
    judge=judge,
    hides=("one-class-predicted",),
    en=Text(
        title="the training is stuck, though there is more to learn",
        seen="the loss stands at {last:.3g} ({first:.3g} at first, {updates} updates); a fresh copy, taught by Adam "
        "with lr=3e-3 on {rows} of the same rows, gets to {reached:.3g} on rows that it hasn't seen",
        why="it isn't the data and not noise that stops it: the way downhill was lost, on a plateau or a saddle, or by "
        "an optimiser that doesn't fit",
        fix="take another way down: torch.optim.Adam(model.parameters(), lr=3e-3) in place of what is there",
        looks="The loss is flat from some point on, for training and validation alike.",
    ),
    zh=Text(
        title="优化停滞：明明还能学到更多",
        seen="损失停在 {last:.3g}（开始 {first:.3g}，共 {updates} 次更新）；重新初始化的副本用 Adam（lr=3e-3）"
        "在其中 {rows} 个样本上训练，在没见过的样本上能达到 {reached:.3g}",
        why="拦住它的不是数据，也不是噪声：优化停在了平台或鞍点上，或者优化器不合适",
        fix="换一种下降方式：用 torch.optim.Adam(model.parameters(), lr=3e-3) 代替现在的优化器",
        looks="从某一时刻起，训练损失和验证损失都变平。",
    ),
    wrong="""
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
""",
    right="""
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
""",
)
