"""Probabilities, not their logarithms, go into a negative log-likelihood."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.outputs import EDGE, PICKING, by_hand, last, level, probabilities
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals


def judge(seen: Signals) -> Iterator[Found]:
    for site in (*seen.training, *(s for s in seen.losses if not s.gradient)):
        if site.name == "nll_loss" and _probabilities(site):
            yield Found(site.place, numbers={"low": _low(site), "high": _high(site), "last": level(site)})
    for backward in seen.backwards:
        found = by_hand(backward)
        if found is None or found[1].name != "softmax" or not backward.values:
            continue
        between, mean = set(found[0]), level(backward)
        picked = bool(between & PICKING) and "neg" in between
        if picked and not between & {"log", "mul", "add", "sub", "rsub", "pow"} and -1 <= mean < 0:
            yield Found(backward.place, level="likely", numbers={"low": 0.0, "high": 1.0, "last": mean})


def _probabilities(site: LossSite) -> bool:
    op, _ = last(site.producers)
    seen = site.predicted
    if seen.seen and (seen.low < -EDGE or seen.high > 1 + EDGE):
        return False
    if op is not None and op.name in ("softmax", "sigmoid"):
        return True
    return probabilities(site)


def _low(site: LossSite) -> float:
    return site.predicted.low if site.predicted.seen else 0.0


def _high(site: LossSite) -> float:
    return site.predicted.high if site.predicted.seen else 1.0


rule = Rule(
    code="nll-on-probabilities",
    level="fault",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "lr-too-low",
        "vanishing-gradient",
        "one-class-predicted",
        "output-out-of-reach",
    ),
    en=Text(
        title="the loss expects log-probabilities, and gets probabilities",
        seen="the numbers that go into the negative log-likelihood lie between {low:.2f} and {high:.2f}; logarithms of "
        "probabilities are never above 0 (the loss is {last:.2f})",
        why="nll_loss takes no logarithm itself: it only picks the number of the right class, so confident wrong "
        "answers are hardly corrected, and the loss is negative",
        fix="take the logarithm in the model: F.log_softmax(logits, dim=1) in place of softmax "
        "(or give the logits to F.cross_entropy)",
        looks="The loss is negative, moves towards −1, and the model learns slowly or only some classes.",
    ),
    zh=Text(
        title="损失需要对数概率，得到的却是概率",
        seen="送进负对数似然损失的数在 {low:.2f} 到 {high:.2f} 之间，而对数概率不会大于 0（现在损失是 {last:.2f}）",
        why="nll_loss 自己不取对数，只取出正确类别对应的数再加负号；因此错得很有把握的样本几乎得不到纠正，"
        "损失也会是负数",
        fix="在模型里取对数：把 softmax 换成 F.log_softmax(logits, dim=1)（或者把 logits 交给 F.cross_entropy）",
        looks="损失是负数，慢慢靠近 −1，模型学得很慢，或者只学会其中几类。",
    ),
    wrong="""
probabilities = torch.softmax(model(x), dim=1)
loss = F.nll_loss(probabilities, y)
""",
    right="""
log_probabilities = F.log_softmax(model(x), dim=1)
loss = F.nll_loss(log_probabilities, y)
""",
)
