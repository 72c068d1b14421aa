"""Binary cross-entropy is given numbers that are no probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = ("all elements of input should be between 0 and 1", "all elements of target should be between 0 and 1")
LOGITS = (
    "F.binary_cross_entropy_with_logits(model(x), y), and no sigmoid before it",
    "F.binary_cross_entropy_with_logits(model(x), y)，前面不要加 sigmoid",
)
TARGETS = (
    "give it targets of 0 and 1: (y > 0).float() of −1 and 1, y / y.max() of grey values",
    "目标要是 0 和 1：−1 和 1 用 (y > 0).float()，灰度值用 y / y.max()",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is not None and any(words in error.message for words in SAYS):
        side = TARGETS if "target" in error.message else LOGITS
        yield Found(error.place, numbers={"says": error.message.splitlines()[0], "change": side})


rule = Rule(
    code="error-probabilities",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="binary cross-entropy is given no probabilities",
        seen="{says}",
        why="it takes the logarithm of what it is given, and of one minus that: both sides must lie between 0 and 1",
        fix="{change}",
        looks="RuntimeError: all elements of input should be between 0 and 1; on a GPU a device-side assert.",
    ),
    zh=Text(
        title="二元交叉熵得到的不是概率",
        seen="{says}",
        why="它要对输入以及 1 减输入取对数：两边都必须在 0 和 1 之间",
        fix="{change}",
        looks="报错 RuntimeError: all elements of input should be between 0 and 1；在 GPU 上是 device-side assert。",
    ),
    wrong="""
loss = F.binary_cross_entropy(model(x), y)       # the model ends in a linear layer
""",
    right="""
loss = F.binary_cross_entropy_with_logits(model(x), y)
""",
)
