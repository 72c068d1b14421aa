"""A part of the model that is computed with, but whose result leaves autograd on its way to the loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.rules.parameter_not_in_optimizer import names_of, size_of
from gradus.doctor.signals import Cut, ParameterSeen, Place, Signals

UPDATES = 5
LOOKS = 3  # at the graph of a loss, none of which led to the weight
JUDGED = {"argmax", "item", "tolist", "gt", "ge", "lt", "le"}  # what metrics are made with: outside of a model no cut


def judge(seen: Signals) -> Iterator[Found]:
    weights = unreached(seen)
    for level in ("fault", "likely", "note"):
        own = [p for p in weights if _level(seen, p) == level]
        if own:
            cut = _commonest(seen, own)
            en, zh = ("torch.no_grad()",) * 2 if cut is None else (cut.op, cut.op)
            place = cut.place if cut is not None else _called(seen, own)
            numbers = {"weights": size_of(own), "looks": max(p.looks for p in own), "what": (en, zh)}
            yield Found(place, names_of(own), level=level, numbers=numbers)


def unreached(seen: Signals) -> list[ParameterSeen]:
    """Weights that an optimizer has, that want gradients, that no loss ever led to, and that never changed."""
    if seen.updates < UPDATES or seen.error is not None:
        return []
    return [
        p for p in seen.parameters
        if p.optimizer is not None and p.requires_grad and p.looks - p.frozen >= LOOKS
        and not p.reached and not p.with_gradient and p.moved is False
    ]  # fmt: skip


def cuts_of(seen: Signals, p: ParameterSeen) -> list[Cut]:
    """Where a value that came from a weight left autograd: inside a model any place, outside none of metrics."""
    found = [seen.cuts[number] for number in p.cuts if number < len(seen.cuts)]
    return [c for c in found if c.module or (c.op.strip("_") not in JUDGED and c.after_loss < c.times)]


def whole(seen: Signals, p: ParameterSeen) -> bool:
    """Whether no loss leads to any weight of the model that it belongs to."""
    return p.model is not None and not any(q.reached or q.with_gradient for q in seen.parameters if q.model == p.model)


def _level(seen: Signals, p: ParameterSeen) -> Level | None:
    cuts = cuts_of(seen, p)
    if cuts:
        sure = any(c.module for c in cuts) or whole(seen, p)
        return "fault" if sure and not p.loaded else "note"
    without = not p.executed and p.executed_without_gradient >= LOOKS  # under no_grad, inside a training pass
    if not without and p.model is not None and not p.executed and whole(seen, p):  # a model of its own under no_grad
        model = seen.models[p.model]
        passes = max((m.training for m in seen.models), default=0)
        without = not model.training and 2 * model.judging >= passes > 0
    if without:
        return "note" if p.loaded else "likely"
    return None


def _commonest(seen: Signals, weights: Iterable[ParameterSeen]) -> Cut | None:
    """The cut that most of some weights have, one inside a model rather than another."""
    counted = Counter(number for p in weights for number in p.cuts if number < len(seen.cuts))
    best = max(counted, key=lambda n: (bool(seen.cuts[n].module), counted[n], -n), default=None)
    return None if best is None else seen.cuts[best]


def _called(seen: Signals, weights: list[ParameterSeen]) -> Place | None:
    place = next((p.first_place for p in weights if p.first_place is not None), None)
    model = weights[0].model
    return place or (seen.models[model].place if model is not None else None)


rule = Rule(
    code="gradient-cut",
    level="fault",
    kind="exact",
    area="model",
    judge=judge,
    hides=(
        "module-never-used", "optimisation-stuck", "model-too-small", "lr-too-low", "vanishing-gradient",
        "initial-loss-high",
    ),
    en=Text(
        title="no gradient reaches {subject}",
        seen="{weights} weights in the optimizer were computed with, but none of {looks} losses that were looked at "
        "led "
        "back to them; what was computed left autograd by {what}",
        why="detach(), .data, no_grad(), numpy() and torch.tensor(x) give values without their history: what comes "
        "before "
        "them isn't trained",
        fix="go on with the tensor itself: leave out the {what}, and use torch functions in place of numpy's",
        looks="The model trains, but a part of it stays as it was initialised; its .grad is None.",
    ),
    zh=Text(
        title="梯度传不到 {subject}",
        seen="优化器里有 {weights} 个参数参与了计算，但检查过的 {looks} 次损失没有一次能回溯到它们；"
        "计算结果在 {what} 处离开了自动求导",
        why="detach()、.data、no_grad()、numpy()、torch.tensor(x) 只给出数值，不带计算历史：它们之前的部分不会被训练",
        fix="直接使用原来的张量：去掉 {what}，numpy 的运算换成 torch 的",
        looks="模型能训练，但其中一部分始终停在初始值，它们的 .grad 是 None。",
    ),
    wrong="""
h = self.encoder(x).detach().numpy()
h = torch.tensor(np.tanh(h))
return self.head(h)
""",
    right="""
h = self.encoder(x)
h = torch.tanh(h)
return self.head(h)
""",
)  # fmt: skip
