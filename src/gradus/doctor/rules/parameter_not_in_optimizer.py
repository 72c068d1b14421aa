"""Weights that get gradients, and that no optimizer updates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import ParameterSeen, Place, Signals

UPDATES = 3  # before them another optimizer may not have had its turn
REACHED = 2  # looks in which the loss led to it
SINCE = 10  # or one, and so many updates after it
FROZEN_LIKE = 0.5  # of a model's weights, all before those that are trained: it looks like a backbone kept as it is


def judge(seen: Signals) -> Iterator[Found]:
    missing = [p for p in left_out(seen) if not in_plain_list(p)]
    if not missing or replaced(seen, missing):
        return
    for level in ("fault", "likely", "note"):
        weights = [p for p in missing if _level(seen, p, missing) == level]
        if weights:
            yield Found(
                _made(seen), names_of(weights), level=level,
                numbers={"weights": size_of(weights), "tensors": len(weights), "updates": seen.updates},
            )  # fmt: skip


def left_out(seen: Signals) -> list[ParameterSeen]:
    """Weights that the loss leads to, that no optimizer has, and whose values never changed."""
    if seen.updates < UPDATES or seen.error is not None or not any(o.steps for o in seen.optimizers):
        return []
    return [
        p for p in seen.parameters
        if p.optimizer is None and p.requires_grad and not p.frozen and p.moved is False
        and (p.reached >= REACHED or (p.reached and p.last_reached + SINCE < seen.updates))
        and p.kind not in ("", "Tensor") and 2 * p.reached >= min(p.looks, max(p.executed, 1))
    ]  # fmt: skip


def in_plain_list(p: ParameterSeen) -> bool:
    """Whether it belongs to a layer that was called inside a model that doesn't register it."""
    return p.model is None and " in " in p.name


def replaced(seen: Signals, missing: list[ParameterSeen]) -> list[ParameterSeen]:
    """Weights in an optimizer whose place those that are missing have taken: no loss leads to them any more."""
    if not missing:
        return []
    last = max(p.last_reached for p in missing)
    held = [p for p in seen.parameters if p.optimizer is not None and p.requires_grad and not p.frozen]
    gone = [
        p for p in held
        if (p.model is None and p.kind == "" and not p.reached) or (p.gone and p.last_reached < last)
    ]  # fmt: skip
    if gone:
        return gone
    shapes = sorted(p.shape for p in missing)  # a second model like the first, that took its place
    for number in {p.model for p in held} - {None} - {p.model for p in missing}:
        old = [p for p in held if p.model == number]
        if sorted(p.shape for p in old) == shapes and all(p.last_reached < last for p in old):
            return old
    return []


def names_of(weights: Iterable[ParameterSeen]) -> str:
    """The modules that own some weights, at most three."""
    names: list[str] = []
    for p in weights:
        name = p.name if " " in p.name else p.name.rpartition(".")[0] or p.name
        if name.isdigit():  # in a Sequential: 0 alone says nothing
            name = f"{p.kind} {name}"
        if name not in names:
            names.append(name)
    return ", ".join(names[:3]) + (f" … ({len(names)})" if len(names) > 3 else "")


def size_of(weights: Iterable[ParameterSeen]) -> int:
    """How many numbers they are."""
    total = 0
    for p in weights:
        size = 1
        for n in p.shape:
            size *= n
        total += size
    return total


def _level(seen: Signals, p: ParameterSeen, missing: list[ParameterSeen]) -> Level:
    if p.loaded:  # a part that was trained before, and may be meant to stay
        return "note"
    own = [q for q in seen.parameters if q.model == p.model and p.model is not None]
    trained = [i for i, q in enumerate(own) if q.optimizer is not None]
    out = [i for i, q in enumerate(own) if any(q is m for m in missing)]
    if trained and out and max(out) < min(trained):
        lost = [q for q in own if any(q is m for m in missing)]
        if size_of(lost) > FROZEN_LIKE * size_of(own):
            return "likely"
    return "fault"


def _made(seen: Signals) -> Place | None:
    return next((o.made for o in seen.optimizers if o.made is not None), None)


rule = Rule(
    code="parameter-not-in-optimizer",
    level="fault",
    kind="exact",
    area="optimizer",
    judge=judge,
    hides=("optimisation-stuck", "lr-too-low", "model-too-small", "initial-loss-high", "vanishing-gradient"),
    en=Text(
        title="weights that no optimizer updates: {subject}",
        seen="{weights} weights in {tensors} tensors got gradients, but are in no optimizer, and were the same after "
        "{updates} updates",
        why="an optimizer changes only what it was given: these layers stay at their random beginning",
        fix="give them to the optimizer, e.g. torch.optim.Adam(model.parameters(), lr=…); if they are meant to stay "
        "as they "
        "are, say so: module.requires_grad_(False)",
        looks="Training works, but worse than it should: a part of the model stays as it was initialised.",
    ),
    zh=Text(
        title="有参数不在任何优化器里：{subject}",
        seen="{tensors} 个张量共 {weights} 个参数得到了梯度，却不在任何优化器里，经过 {updates} 次更新后没有任何变化",
        why="优化器只更新交给它的参数：这些层一直停在随机初始值",
        fix="把它们交给优化器，例如 torch.optim.Adam(model.parameters(), lr=…)；如果本来就不想训练，请写明："
        "module.requires_grad_(False)",
        looks="能训练，但效果比应有的差：模型有一部分一直停在初始值。",
    ),
    wrong="""
encoder, head = Encoder(), nn.Linear(64, 10)
optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
""",
    right="""
encoder, head = Encoder(), nn.Linear(64, 10)
optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
""",
)
