"""A model that can't learn even one batch by heart, where a plain network learns far more of rows it hasn't seen."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.course import broke, course
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

BATCH = 0.25  # of the loss of chance that is left on one batch after 150 steps of Adam, from the first weights
BETTER = 0.6  # times the loss that it ended with, which a plain network reaches on held-out rows
MOVED = 0.99  # of the first loss, on that batch: a small model learns something, too
NO_WORSE = 1.2  # times the loss of the best constant answer, which any model with a bias can give
UPDATES = 100


def judge(seen: Signals) -> Iterator[Found]:
    probe, went = seen.probe, course(seen)
    if probe.memorised is None or probe.memorised_from is None or went is None or broke(seen):
        return
    if seen.updates < UPDATES or probe.memorised < BATCH * min(went.start, probe.memorised_from):
        return
    if probe.memorised > MOVED * probe.memorised_from or went.last > NO_WORSE * (went.chance or went.last):
        return  # even a bias could do better: it isn't for want of weights that nothing moves
    if probe.plain is None or not went.stands(probe.plain):
        return
    site = next((s for s in seen.training if s.from_model), None)  # that the experiments were made on
    least = min(went.last, probe.again or went.last, (site and site.last) or went.last)
    if probe.plain > BETTER * least:  # noisy labels may leave that much to any model
        return
    model = max(seen.models, key=lambda m: m.training, default=None)
    yield Found(
        model.place if model else None, model.kind if model else "",
        numbers={"last": went.last, "batch": probe.memorised, "plain": probe.plain, "rows": probe.rows,
                 "weights": model.weights if model else 0},
    )  # fmt: skip


rule = Rule(
    code="model-too-small",
    level="likely",
    kind="probe",
    area="result",
    judge=judge,
    hides=("optimisation-stuck",),
    en=Text(
        title="the model is too small for what it is to learn",
        seen="the training loss stands at {last:.3g}; a copy couldn't learn one batch by heart ({batch:.3g} left), but "
        "a plain network of two layers of 64 units gets to {plain:.3g} on rows that it hasn't seen",
        why="with its {weights} weights it has no way of drawing the needed function, however long it trains",
        fix="make it wider or deeper, and see that there is a nonlinearity between its layers: "
        "nn.Linear(n, 64), nn.ReLU(), nn.Linear(64, classes)",
        looks="Training and validation loss are alike, and both stop at a high value.",
    ),
    zh=Text(
        title="模型太小，学不会这个任务",
        seen="训练损失停在 {last:.3g}；模型的副本连一个 batch 都记不住（还剩 {batch:.3g}），"
        "而一个普通的两层 64 单元网络在没见过的样本上能达到 {plain:.3g}",
        why="只有 {weights} 个权重，训练多久都表示不出所需的函数",
        fix="加宽或加深模型，并确认层与层之间有非线性：nn.Linear(n, 64), nn.ReLU(), nn.Linear(64, classes)",
        looks="训练损失和验证损失差不多，都停在较高的地方。",
    ),
    wrong="""
model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3))
""",
    right="""
model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 3))
""",
)
