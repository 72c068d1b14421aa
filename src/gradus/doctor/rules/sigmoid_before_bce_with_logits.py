"""A sigmoid whose result goes into a binary cross-entropy that applies its own."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.outputs import last, level
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Op, Signals

EDGE = 1e-3  # how far rounding may take a probability beyond 0 and 1
APART = 0.8  # between the least and the largest answer
ANSWERS = 64  # of a validation that must all lie between 0 and 1, where training gives logits


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        op = _squashed(site)
        if op is not None:
            yield Found(site.place, numbers={"op": op.name, "loss": site.name, "last": level(site)})
    logits = [s for s in seen.training if s.name == "binary_cross_entropy_with_logits" and s.predicted.low < -EDGE]
    for site in seen.losses if logits else ():
        if not site.gradient and site.name == "binary_cross_entropy_with_logits" and _within(site):
            yield Found(site.place, level="likely", numbers={"op": "sigmoid", "loss": site.name, "last": level(site)})


def _within(site: LossSite) -> bool:
    """Whether all that a validation gave to the loss was a probability, though training gives it logits."""
    predicted, rows = site.predicted, site.shape[0] if site.shape else 0
    told = predicted.seen > 1 and predicted.seen * rows >= ANSWERS and predicted.std > 0
    apart = predicted.high - predicted.low >= APART  # a model that answers the same for all may do so within [0, 1]
    return told and apart and not predicted.unfinite and predicted.low >= 0 and predicted.high <= 1


def _squashed(site: LossSite) -> Op | None:
    """The sigmoid or softmax before the sigmoid of the loss."""
    ops = list(site.producers)
    if site.name == "binary_cross_entropy" and ops and ops[0].name == "sigmoid":  # applied by the program: any before?
        op, scaled = last(ops[1:])
        return op if op is not None and op.name == "sigmoid" and not scaled else None
    if site.name != "binary_cross_entropy_with_logits":
        return None
    op, _ = last(ops)
    if op is None or op.name not in ("sigmoid", "softmax"):
        return None
    if site.predicted.seen and (site.predicted.low < -EDGE or site.predicted.high > 1 + EDGE):  # stretched to logits
        return None
    return op


rule = Rule(
    code="sigmoid-before-bce-with-logits",
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
        "output-out-of-reach",
    ),
    en=Text(
        title="sigmoid is applied twice",
        seen="what the sigmoid of {loss} is applied to comes from a {op} already: it lies between 0 and 1, so the loss "
        "can't fall below 0.31 for label 1 and 0.69 for label 0 (it is {last:.2f})",
        why="the loss expects logits of any size and applies the sigmoid itself; of a probability between 0 and 1 it "
        "makes one between 0.50 and 0.73, and the gradient becomes small",
        fix="give the loss the logits: leave the {op} out of the model, and apply it only to show probabilities",
        looks="The loss falls a little and stops near 0.5 to 0.7, whatever the learning rate.",
    ),
    zh=Text(
        title="sigmoid 用了两次",
        seen="{loss} 的 sigmoid 所作用的输入已经是 {op} 的结果，只在 0 到 1 之间：标签为 1 时损失最低 0.31，"
        "标签为 0 时最低 0.69（现在是 {last:.2f}）",
        why="这个损失需要任意大小的 logits，内部会自己做 sigmoid；0 到 1 的概率再做一次只能得到 0.50 到 0.73，"
        "梯度也变得很小",
        fix="把 logits 直接交给损失：从模型里去掉 {op}，只在显示概率时才用它",
        looks="损失降一点就停在 0.5～0.7 附近，怎么调学习率都没用。",
    ),
    wrong="""
probability = torch.sigmoid(model(x)).squeeze(1)
loss = F.binary_cross_entropy_with_logits(probability, y)
""",
    right="""
logit = model(x).squeeze(1)
loss = F.binary_cross_entropy_with_logits(logit, y)
""",
)
