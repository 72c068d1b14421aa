"""Layers most of whose ReLU units give 0 for every example."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, course
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Place, Signals, UnitSeen

UNITS = 8  # of a layer: of fewer, some may well be 0
EXAMPLES = 60  # that were looked at
SHARE = 0.9  # of the units, not of the values: half of the values are 0 in a healthy layer
STUCK = 0.6  # where the loss makes no headway either


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen)
    stuck = went is not None and went.headway < HEADWAY
    for unit in seen.units:
        if unit.op in ("sigmoid", "tanh") or unit.units < UNITS or unit.samples < 3 or unit.examples < EXAMPLES:
            continue
        share = unit.never / unit.units
        if share < (STUCK if stuck else SHARE) or not _is_layer(seen, unit):
            continue
        proved = unit.never == unit.units and stuck
        yield Found(
            _place(seen, unit), unit.layer or unit.op, "fault" if proved else None,
            {"dead": unit.never, "units": unit.units, "examples": unit.examples, "begun": unit.never_first},
        )  # fmt: skip


def _is_layer(seen: Signals, unit: UnitSeen) -> bool:
    """Whether the units are those of a layer's weights: a relu in a loss, of distances say, has no such."""
    own = [p for p in seen.parameters if p.name.rpartition(".")[0] == unit.layer or p.name == unit.layer]
    return any(unit.units in (p.shape[0], p.shape[-1], p.shape[1] if len(p.shape) > 1 else 0) for p in own if p.shape)


def _place(seen: Signals, unit: UnitSeen) -> Place | None:
    """Where the model is called that has the layer."""
    own = [p.model for p in seen.parameters if p.name.rpartition(".")[0] == unit.layer and p.model is not None]
    return seen.models[own[0]].place if own else seen.models[0].place if seen.models else None


rule = Rule(
    code="dead-relu",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "vanishing-gradient",
        "lr-too-low",
        "one-class-predicted",
    ),
    en=Text(
        title="most ReLU units are dead",
        seen="{dead} of the {units} units behind {subject} gave 0 for each of {examples} examples ({begun} of them in "
        "the first batch already)",
        why="where a ReLU gives 0 its gradient is 0, too: a unit that is 0 for every example never changes again",
        fix="begin with zero biases and weights made for ReLU (nn.init.kaiming_normal_(weight, nonlinearity='relu')), "
        "or let a little through below 0: nn.LeakyReLU(0.01)",
        looks="The loss stops early, often at that of guessing; the answer is nearly the same for every example.",
    ),
    zh=Text(
        title="大部分 ReLU 单元已经“死亡”",
        seen="{subject} 之后的 {units} 个单元里，有 {dead} 个对看过的 {examples} 个样本全都输出 0"
        "（第一个 batch 时就有 {begun} 个）",
        why="ReLU 输出 0 的地方梯度也是 0：对所有样本都输出 0 的单元再也不会改变",
        fix="偏置从 0 开始，权重用适合 ReLU 的初始化（nn.init.kaiming_normal_(weight, nonlinearity='relu')），"
        "或者让负半轴也通过一点：nn.LeakyReLU(0.01)",
        looks="损失很早就不再下降，常常停在瞎猜的水平；对每个样本的输出几乎都一样。",
    ),
    wrong="""
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.constant_(layer.bias, -2.2)
""",
    right="""
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.bias)
""",
)
