"""A softmax over an axis of size one: its result is 1, whatever goes in."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.outputs import axis, by_hand, size, softmax
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Op, Signals


def judge(seen: Signals) -> Iterator[Found]:
    told = set()
    for site in seen.training:
        op = softmax(site.producers)
        if (op is not None and _of_one(op)) or _one_class(site):
            shape = op.shape if op is not None else site.shape
            told.add(shape)
            yield Found(site.place, numbers={"shape": str(shape)})
    for backward in seen.backwards:
        found = by_hand(backward)
        if found is not None and _of_one(found[1]):
            yield Found(backward.place, numbers={"shape": str(found[1].shape)})
            continue
        for op in backward.softmaxes:  # inside of the model: of a sequence of length one, too
            shape = op.shape or ()
            if shape not in told and len(shape) == 3 and axis(op) == 2 and shape[2] == 1 < shape[1]:
                yield Found(backward.place, level="note", numbers={"shape": str(shape)})
                break


def _of_one(op: Op) -> bool:
    shape = op.shape or ()
    if size(op) != 1:
        return False
    return not (len(shape) == 2 and axis(op) == 0 and shape[1] > 1)  # one example over axis 0: the axis is wrong


def _one_class(site: LossSite) -> bool:
    """A cross-entropy, which has a softmax in it, of a single output."""
    return site.name == "cross_entropy" and len(site.shape) == 2 and site.shape[1] == 1


rule = Rule(
    code="softmax-of-one",
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
        "gradient-cut",
        "labels-misaligned",
        "dead-relu",
        "initial-loss-high",
        "weight-decay-dominates",
        "zero-grad-missing",
    ),
    en=Text(
        title="softmax of a single number is always 1",
        seen="a softmax over an axis of size 1, in a tensor of shape {shape}",
        why="softmax makes numbers sum to 1, so a single one becomes 1 whatever the model says: its gradient is "
        "exactly 0, "
        "and nothing before it learns",
        fix="for one output use a sigmoid: F.binary_cross_entropy_with_logits(logit, y.float()); for classes, give the "
        "last layer one output per class",
        looks="The loss doesn't move at all, and every answer is the same.",
    ),
    zh=Text(
        title="只对一个数做 softmax，结果永远是 1",
        seen="softmax 所沿的维度大小为 1，张量形状是 {shape}",
        why="softmax 让各数之和为 1，只有一个数时无论模型输出什么结果都是 1：梯度恰好为 0，它前面的层什么也学不到",
        fix="只有一个输出时用 sigmoid：F.binary_cross_entropy_with_logits(logit, y.float())；"
        "多分类时让最后一层每类一个输出",
        looks="损失一动不动，所有输出都一样。",
    ),
    wrong="""
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(dim=1))
loss = F.binary_cross_entropy(model(x), y)
""",
    right="""
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
loss = F.binary_cross_entropy_with_logits(model(x), y)
""",
)
