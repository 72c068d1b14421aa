"""A learning rate that hardly moves the weights, while the loss hardly falls."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import Course, broke, course, matrices
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import ParameterSeen, Signals

UPDATES = 50
STILL = 2e-5  # of a weight's size in one update, of the weight that moved most (DeepDiagnosis: 1e-5; 1e-3 is usual)
SLOW = 3e-4  # so small, and the loss has fallen evenly to the end: it is on its way, and has hardly begun
USUAL = {"SGD": 1e-2, "Adagrad": 1e-2, "Adadelta": 0.1, "Rprop": 1e-3, "Adam": 3e-4}  # no one calls these low
WALKED = 0.03  # of its size, all updates together at most: no weight can have got anywhere
FELL = 0.1  # share of the first loss that is gone
HIGH = 0.5  # of the loss of chance: a pretrained model that is good already needs no large steps
EVEN = 0.5  # of the fall in the first half of the run that the second half must still show


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen, least=UPDATES)
    if went is None or broke(seen) or went.first <= 0 or 1 - went.last / went.first > FELL:
        return
    if went.chance is not None and went.last < HIGH * went.chance:
        return
    # a line has no matrix, yet a weight and a bias
    weights = _moved(matrices(seen)) or _moved([p for p in seen.parameters if p.optimizer is not None])
    if not weights:
        return
    farthest = max(weights, key=lambda p: _most(p.changes))
    move = _most(farthest.changes)
    begun = move * seen.updates < WALKED or _falls_evenly(went)
    if farthest.optimizer is None or not (move < STILL or (move < SLOW and begun)):
        return
    optimizer = seen.optimizers[farthest.optimizer]
    rate = max((rate for _, rate in optimizer.rates), default=optimizer.lr)
    if rate >= USUAL.get(optimizer.kind, USUAL["Adam"]):  # the gradient is small, then: not the rate
        return
    yield Found(
        optimizer.made or optimizer.place, optimizer.kind,
        numbers={"lr": rate, "move": move, "first": went.first, "last": went.last, "updates": seen.updates,
                 "weight": farthest.name},
    )  # fmt: skip


def _moved(parameters: list[ParameterSeen]) -> list[ParameterSeen]:
    return [p for p in parameters if p.with_gradient and p.start_norm > 0 and p.changes]


def _most(changes: list[tuple[int, float]]) -> float:
    return max((change for _, change in changes if math.isfinite(change)), default=0.0)


def _falls_evenly(went: Course) -> bool:
    half = len(went.blocks) // 2
    quarter = max(1, half // 2)
    a, b, c, d = (
        sum(part) / len(part) for part in (
            went.blocks[:quarter], went.blocks[half - quarter : half], went.blocks[half : half + quarter],
            went.blocks[-quarter:],
        )
    )  # fmt: skip
    return a > b > d and c > d and b - d > EVEN * (a - b) and a - d > 0.003 * a


rule = Rule(
    code="lr-too-low",
    level="likely",
    kind="trend",
    area="rate",
    judge=judge,
    hides=("optimisation-stuck", "model-too-small", "one-class-predicted"),
    en=Text(
        title="the learning rate is too low",
        seen="with lr={lr:.3g} no update moved a weight by more than {move:.1g} of its size (about 0.001 is usual); in "
        "{updates} updates the loss went from {first:.3g} to {last:.3g}",
        why="the steps lead downhill, but they are so small that the training ends before it gets anywhere",
        fix="multiply the learning rate by 10, and again, until the loss falls clearly: 1e-3 is a usual beginning for "
        "Adam, 0.1 to 0.01 for SGD",
        looks="The loss falls evenly, but by next to nothing.",
    ),
    zh=Text(
        title="学习率太低",
        seen="lr={lr:.3g} 时，每次更新中变化最大的权重也只变了自身大小的 {move:.1g}（通常约 0.001）；{updates} 次更新里"
        "损失从 {first:.3g} 到 {last:.3g}",
        why="方向没错，但步子太小，训练结束了还没走出多远",
        fix="把学习率乘以 10，不够再乘，直到损失明显下降：Adam 通常从 1e-3 开始，SGD 从 0.1 到 0.01 开始",
        looks="损失平稳下降，但几乎没降多少。",
    ),
    wrong="""
optimizer = torch.optim.Adam(model.parameters(), lr=1e-7)
""",
    right="""
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
""",
)
