"""A softmax whose result goes into a cross-entropy, which applies its own."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        if site.name != "cross_entropy":
            continue
        for op in site.producers:
            if op.name == "softmax" and op.dim in (1, -1):
                c = site.classes
                floor = 0.0 if c < 2 else _floor(c)
                yield Found(site.place, numbers={"classes": c, "floor": floor, "last": site.last or 0.0})
            if op.name != "add" and not op.scalar:
                break


def _floor(classes: int) -> float:
    """The least cross-entropy of probabilities taken for logits: ln(e + C − 1) − 1, where one class has it all."""
    import math

    return math.log(math.e + classes - 1) - 1


rule = Rule(
    code="softmax-before-cross-entropy",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=("optimisation-stuck", "model-too-small", "lr-too-low", "vanishing-gradient"),
    en=Text(
        title="softmax is applied twice",
        seen="what goes into cross_entropy comes from a softmax; with {classes} classes the loss can't fall below "
        "{floor:.2f} (it is {last:.2f})",
        why="cross_entropy applies log-softmax itself; of probabilities it makes nearly equal ones, and its gradient "
        "becomes small just where the model is most wrong",
        fix="give the loss the logits: leave the softmax out of the model, and apply it only to show probabilities",
        looks="The loss falls slowly and stops far above 0, though accuracy may still rise.",
    ),
    zh=Text(
        title="softmax 用了两次",
        seen="送进 cross_entropy 的是 softmax 的结果；{classes} 类时损失最低只能到 {floor:.2f}（现在是 {last:.2f}）",
        why="cross_entropy 内部已经做了 log-softmax；再对概率做一次会把它们压得几乎相等，模型错得最厉害的地方梯度反而最小",
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
