"""Sigmoid and tanh units at the flat ends of their curve, where they let no gradient through."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, course
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Place, Signals, UnitSeen

UNITS = 4
BEGUN = 0.5  # share of values at the ends before any update: a healthy layer begins near the middle of the curve
NOW = 0.8  # share in the last look, where the loss makes no headway
SLOW = 0.5  # a network that began saturated and still loses half of its loss works all the same


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen)
    if went is None or went.headway > SLOW:
        return
    stuck = went.headway < HEADWAY
    for unit in seen.units:
        if unit.op not in ("sigmoid", "tanh") or unit.units < UNITS or unit.samples < 3 or _is_output(seen, unit):
            continue
        begun = unit.saturated_first > BEGUN and unit.saturated > BEGUN
        if begun or (stuck and unit.saturated > NOW):
            yield Found(
                _place(seen, unit), unit.layer or unit.op,
                numbers={"share": unit.saturated, "begun": unit.saturated_first, "op": unit.op,
                         "first": went.first, "last": went.last},
            )  # fmt: skip


def _is_output(seen: Signals, unit: UnitSeen) -> bool:
    """Whether it is what a loss function is given: there the ends of the curve are the answers yes and no."""
    for site in seen.training:
        if any(op.name == unit.op for op in site.producers[:3]) and unit.units in (site.shape[-1:] or (0,)):
            return True
    return False


def _place(seen: Signals, unit: UnitSeen) -> Place | None:
    own = [p.model for p in seen.parameters if p.name.rpartition(".")[0] == unit.layer and p.model is not None]
    return seen.models[own[0]].place if own else seen.models[0].place if seen.models else None


rule = Rule(
    code="saturated-units",
    level="likely",
    kind="statistic",
    area="model",
    judge=judge,
    hides=("vanishing-gradient", "optimisation-stuck", "model-too-small", "lr-too-low", "one-class-predicted"),
    en=Text(
        title="the {op} units are saturated",
        seen="{share:.0%} of the outputs of {op} behind {subject} lie at the flat ends of its curve ({begun:.0%} "
        "before any update); the loss went from {first:.3g} to {last:.3g}",
        why="at its ends the curve is flat and its gradient nearly 0: the layers below learn next to nothing",
        fix="make what goes into {op} smaller, about −2 to 2: scale the inputs, begin with smaller weights "
        "(nn.init.xavier_uniform_), leave out factors; or put nn.LayerNorm before it",
        looks="The loss stays high from the beginning, and the lower layers hardly change.",
    ),
    zh=Text(
        title="{op} 单元饱和",
        seen="{subject} 之后 {op} 的输出有 {share:.0%} 落在曲线两端的平坦处"
        "（第一次更新前为 {begun:.0%}）；损失从 {first:.3g} 到 {last:.3g}",
        why="曲线两端是平的，梯度接近 0：它下面的层几乎学不到东西",
        fix="让进入 {op} 的数值小一些，大约 −2 到 2：缩放输入、用更小的初始权重（nn.init.xavier_uniform_）、"
        "去掉放大系数；或者在它前面加 nn.LayerNorm",
        looks="损失从一开始就居高不下，前面的层几乎不变。",
    ),
    wrong="""
h = torch.tanh(60 * self.fc1(x))
""",
    right="""
h = torch.tanh(self.fc1(x))
""",
)
