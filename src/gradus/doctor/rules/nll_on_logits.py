"""Raw outputs of a layer, not log-probabilities, go into a negative log-likelihood."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.outputs import FORM, LAYERS, PICKING, last, level, probabilities
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import BackwardSite, Signals

ABOVE = 0.05  # log-probabilities are at most 0; rounding, or a small number added for safety, takes them less far
ACTIVATIONS = {"relu", "leakyrelu", "elu", "gelu", "silu", "tanh"}
OUTPUTS = LAYERS | ACTIVATIONS | {"add", "mean", "nativebatchnorm", "nativelayernorm"}
FALLEN = -1.0  # a loss written by hand as −logit[label] has no lower end: it has passed that of −probability[label]


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        if site.name == "nll_loss" and site.predicted.seen and site.predicted.high > ABOVE and not probabilities(site):
            op, _ = last(site.producers)
            if op is not None and op.name in OUTPUTS:
                proved = op.name in LAYERS
                numbers = {"high": site.predicted.high, "last": level(site)}
                if proved or level(site) < 0:
                    yield Found(site.place, level="fault" if proved else "likely", numbers=numbers)
    for backward in seen.backwards:
        if _picked_logits(backward) and level(backward) < FALLEN:
            yield Found(backward.place, level="likely", numbers={"high": -level(backward), "last": level(backward)})


def _picked_logits(site: BackwardSite) -> bool:
    """Whether a loss is −logits[rows, labels] and nothing more."""
    if site.losses:
        return False
    between: list[str] = []
    for name in site.ops:
        if name in LAYERS:
            return "neg" in between and bool(PICKING & set(between))
        if name not in FORM and name not in ("neg", "mean", "sum", "div"):
            return False
        between.append(name)
    return False


rule = Rule(
    code="nll-on-logits",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "lr-too-high",
        "exploding-gradient",
        "one-class-predicted",
        "output-out-of-reach",
        "weight-decay-dominates",
        "dead-relu",
    ),
    en=Text(
        title="the loss expects log-probabilities, and gets logits",
        seen="the numbers that go into the negative log-likelihood reach {high:.2f}, though logarithms of "
        "probabilities "
        "are never above 0 (the loss is {last:.2f})",
        why="nll_loss only picks the number of the right class: without a log-softmax before it the model makes the "
        "loss smaller by raising all its outputs without end, and tells the classes apart no better",
        fix="use the loss for logits: F.cross_entropy(logits, y) (nn.CrossEntropyLoss), or put F.log_softmax before "
        "nll_loss",
        looks="The loss becomes negative and falls without end, while accuracy stays poor.",
    ),
    zh=Text(
        title="损失需要对数概率，得到的却是 logits",
        seen="送进负对数似然损失的数最大到 {high:.2f}，而对数概率不会大于 0（现在损失是 {last:.2f}）",
        why="nll_loss 只取出正确类别对应的数再加负号：前面没有 log-softmax，模型只要把所有输出无限抬高就能让损失下降，"
        "却并没有更好地区分类别",
        fix="改用接收 logits 的损失：F.cross_entropy(logits, y)（nn.CrossEntropyLoss），或者在 nll_loss 前加 "
        "F.log_softmax",
        looks="损失变成负数并且一直往下掉，准确率却很差。",
    ),
    wrong="""
logits = model(x)
loss = F.nll_loss(logits, y)
""",
    right="""
logits = model(x)
loss = F.cross_entropy(logits, y)
""",
)
