"""A learning rate that throws the weights about: updates as large as the weights, and a loss that rises or stays."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.course import HEADWAY, Course, broke, course, matrices, median
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import OptimizerSeen, Signals

EARLY = 10  # updates in which the first throw is looked for
MOVE = 0.1  # of the weights' size in one update (DeepDiagnosis, TheDeepChecker; about 0.001 is usual)
BEGIN = 0.3  # of it, in two of these, for Adam and alike: their first steps are large by design (0.1 at lr=1e-2)
FELL = 0.8  # of the loss at the start, to which it had fallen before it came back to where it was: it had learnt
SHAKE = 0.03  # of their size, that one update moved weights which then lost all that they had learnt
STAY = 0.05  # of it in the middle one of all updates
ROSE = 1.3  # times the loss at the start, at the end
ILL = 0.5  # share of the values of a sigmoid or tanh
JUMP = 10.0  # times the first loss, at some update, where little is learnt in the end
AGAIN = 3.0  # times the least loss of the course, at the end, where that is no small loss


def judge(seen: Signals) -> Iterator[Found]:
    went = course(seen, least=20)
    shattered = broke(seen)
    if (not shattered and (went is None or not _bad(went))) or _ill_from_the_start(seen):
        return
    first = next((site.first for site in seen.training if site.first is not None), math.nan)
    for number, optimizer in enumerate(seen.optimizers):
        moves = _moves(seen, number)
        begun = sorted((move for update, move in moves.items() if update <= EARLY), reverse=True)
        early = max(begun, default=0.0)
        middle = median(list(moves.values()))
        thrown = early >= MOVE if optimizer.kind == "SGD" else len(begun) > 1 and begun[1] >= BEGIN
        lost = went is not None and went.least < FELL * went.start and went.headway < HEADWAY
        thrown |= lost and max(moves.values(), default=0.0) >= SHAKE
        if not thrown and not middle > STAY:
            continue
        yield Found(
            optimizer.made or optimizer.place, optimizer.kind,
            numbers={"lr": _rate(optimizer), "move": max(early, middle if middle == middle else 0.0),
                     "first": went.first if went else first,
                     "last": math.nan if shattered or not went else went.last},
        )  # fmt: skip
        return


def _ill_from_the_start(seen: Signals) -> bool:
    """Units that were saturated or dead before any update: no learning rate made them so."""
    flat = any(u.op in ("sigmoid", "tanh") and u.units >= 4 and u.saturated_first > ILL for u in seen.units)
    dead = any(u.op not in ("sigmoid", "tanh") and u.units >= 8 and u.never_first > 0.9 * u.units for u in seen.units)
    return flat or dead


def _bad(went: Course) -> bool:
    """No headway, or a rise again from a loss that had been far lower."""
    again = went.last > AGAIN * went.least and went.last > 0.5 * went.start
    jumped = went.peak > JUMP * max(went.first, went.chance or 0.0) and went.last > 0.5 * went.start
    return went.headway < HEADWAY or went.last > ROSE * went.start or again or jumped


def _moves(seen: Signals, number: int) -> dict[int, float]:
    """How far an update moved the middle one of an optimiser's weights, as a share of its size."""
    found: dict[int, list[float]] = {}
    for weight in matrices(seen):
        if weight.optimizer != number or weight.zero or weight.start_norm == 0:
            continue
        for update, change in weight.changes:
            if math.isfinite(change):
                found.setdefault(update, []).append(change)
    return {update: median(changes) for update, changes in found.items()}


def _rate(optimizer: OptimizerSeen) -> float:
    return float(f"{max((rate for _, rate in optimizer.rates), default=optimizer.lr):.3g}")


rule = Rule(
    code="lr-too-high",
    level="likely",
    kind="trend",
    area="rate",
    judge=judge,
    hides=(
        "dead-relu",
        "saturated-units",
        "exploding-gradient",
        "vanishing-gradient",
        "initial-loss-high",
        "nan-made",
        "optimisation-stuck",
        "model-too-small",
        "one-class-predicted",
        "overfitting",
        "output-out-of-reach",
    ),
    en=Text(
        title="the learning rate is too high",
        seen="with lr={lr:g} one update moved the weights by {move:.0%} of their size (about 0.1 % is usual); the loss "
        "was {first:.3g} at first and is {last:.3g}",
        why="such a step jumps over the valley that it should walk down into, and the weights land where the loss is "
        "higher or the units are dead",
        fix="divide the learning rate by 10, and again until the loss falls smoothly: lr = {lr:g} / 10",
        looks="The loss jumps up in the first steps, then swings, stays high or becomes NaN.",
    ),
    zh=Text(
        title="学习率太高",
        seen="lr={lr:g} 时，一次更新就让权重变化了自身大小的 {move:.0%}（通常约 0.1%）；"
        "损失开始为 {first:.3g}，现在 {last:.3g}",
        why="步子太大，会越过本该走下去的谷底，权重落到损失更高、或者单元失效的地方",
        fix="把学习率除以 10，仍不平稳就再除以 10，直到损失平稳下降：lr = {lr:g} / 10",
        looks="头几步损失就跳高，之后来回摆动、居高不下，或者变成 NaN。",
    ),
    wrong="""
optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
""",
    right="""
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
""",
)
