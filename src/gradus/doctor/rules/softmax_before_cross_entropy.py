"""A softmax whose result goes into a cross-entropy, which applies its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.outputs import axis, by_hand, last, level, probabilities, size, softmax
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Op, Signals

WIDE = 5.0  # probabilities stretched to a range beyond it serve as logits well enough: ten classes can reach 0.06


def judge(seen: Signals) -> Iterator[Found]:
    for site in (*seen.training, *(s for s in seen.losses if not s.gradient)):
        op, scaled = _softmax(site)
        if op is None and site.name == "cross_entropy" and probabilities(site) and not softmax(site.producers):
            c = site.classes  # made otherwise, or without gradient: a validation's
            yield Found(site.place, numbers={"classes": c, "floor": _floor(c, 1.0), "last": level(site)})
        if op is None or not _over_classes(op, site):
            continue
        range_ = max(1.0, site.predicted.high - site.predicted.low) if scaled and site.predicted.seen else 1.0
        if range_ <= WIDE:
            c = site.classes or size(op)
            yield Found(site.place, numbers={"classes": c, "floor": _floor(c, range_), "last": level(site)})
    for backward in seen.backwards:
        found = by_hand(backward)
        if found is not None and found[1].name == "logsoftmax" and len(backward.softmaxes) > 1:
            after = backward.ops[len(found[0]) + 1 :]
            c = size(found[1])
            if after[:1] == ["softmax"] and backward.softmaxes[1].name == "softmax" and c > 1:
                yield Found(backward.place, numbers={"classes": c, "floor": _floor(c, 1.0), "last": level(backward)})


def _softmax(site: LossSite) -> tuple[Op | None, bool]:
    """The softmax before the one of the loss: cross_entropy has its own, nll_loss wants a log_softmax before it."""
    ops = list(site.producers)
    own = site.name == "cross_entropy"
    while ops and ops[0].name == "logsoftmax":  # of a log_softmax another makes nothing new
        own = own or site.name == "nll_loss"
        ops = ops[1:]
    op, scaled = last(ops)
    return (op if own and op is not None and op.name == "softmax" else None), scaled


def _over_classes(op: Op, site: LossSite) -> bool:
    """Whether a softmax runs over the classes: over another axis it is another fault."""
    if axis(op) is None:
        return op.dim in (1, -1)
    return size(op) > 1 and (len(site.shape) < 2 or (size(op) == site.classes and not _over_rows(op)))


def _over_rows(op: Op) -> bool:
    return op.shape is not None and len(op.shape) == 2 and axis(op) == 0


def _floor(classes: int, range_: float) -> float:
    """The least cross-entropy of numbers in such a range: ln(e^range + C − 1) − range; it is 1 of probabilities."""
    return 0.0 if classes < 2 else math.log(math.exp(range_) + classes - 1) - range_


rule = Rule(
    code="softmax-before-cross-entropy",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "lr-too-low",
        "vanishing-gradient",
        "saturated-units",
        "one-class-predicted",
    ),
    en=Text(
        title="softmax is applied twice",
        seen="what goes into the cross-entropy comes from a softmax; with {classes} classes the loss can't fall below "
        "{floor:.2f} (it is {last:.2f})",
        why="cross_entropy applies log-softmax itself; of probabilities it makes nearly equal ones, and its gradient "
        "becomes small just where the model is most wrong",
        fix="give the loss the logits: leave the softmax out of the model, and apply it only to show probabilities",
        looks="The loss falls slowly and stops far above 0, though accuracy may still rise.",
    ),
    zh=Text(
        title="softmax 用了两次",
        seen="送进交叉熵的是 softmax 的结果；{classes} 类时损失最低只能到 {floor:.2f}（现在 {last:.2f}）",
        why="cross_entropy 内部已经做了 log-softmax；再对概率做一次会把它们压得几乎相等，"
        "模型错得最厉害的地方梯度反而最小",
        fix="把 logits 直接交给损失：从模型里去掉 softmax，只在显示概率时才用它",
        looks="损失下降很慢，停在远高于 0 的地方，准确率却可能还在上升。",
    ),
    wrong="""
probabilities = torch.softmax(model(x), dim=1)
loss = F.cross_entropy(probabilities, y)
""",
    right="""
logits = model(x)
loss = F.cross_entropy(logits, y)
""",
)
