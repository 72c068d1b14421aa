"""Several numbers, where only one can be used: item(), if, float(), backward()."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "cannot be converted to Scalar",
    "Boolean value of Tensor with more than one value is ambiguous",
    "only one element tensors can be converted",
    "grad can be implicitly created only for scalar outputs",
)
MEAN = (
    "take one number of them first: loss.mean(), or reduction='mean'",
    "先变成一个数：loss.mean()，或 reduction='mean'",
)
ASKED = (
    "say which is meant: (x > 0).all(), (x > 0).any(), or torch.where(…)",
    "说明要哪一种：(x > 0).all()、(x > 0).any()，或者 torch.where(…)",
)
MADE = (
    "the loss's class was given the tensors, as if they were its settings; make it first, then call it: "
    "nn.CrossEntropyLoss()(logits, labels)",
    "张量被当成了损失类的设置项；应先创建再调用：nn.CrossEntropyLoss()(logits, labels)",
)
LIST = ("x.tolist(), or one of them: x[0].item()", "用 x.tolist()，或取其中一个：x[0].item()")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in error.message for words in SAYS):
        return
    held = "; ".join(f"{t.name}: {t.shape}" for t in error.tensors)
    says = error.message.splitlines()[0]
    if "Boolean" in says:
        source = error.place.source if error.place is not None else ""
        change = MADE if "Loss(" in source and "__init__" in error.calls[-3:] else ASKED
    else:
        change = MEAN if "implicitly" in says else LIST
    yield Found(error.place, numbers={"held": f"{held}; " if held else "", "says": says, "change": change})


rule = Rule(
    code="error-one-number",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="one number is needed, and there are several",
        seen="{held}{says}",
        why="item(), float(), an if and backward() work on one number: of several they can't know which one is meant",
        fix="{change}",
        looks="A RuntimeError that speaks of a scalar, or of an ambiguous Boolean value.",
    ),
    zh=Text(
        title="需要一个数，却有好几个",
        seen="{held}{says}",
        why="item()、float()、if 和 backward() 只能用于一个数：有好几个时，无法知道指的是哪一个",
        fix="{change}",
        looks="报错 RuntimeError，提到 scalar，或 Boolean value is ambiguous。",
    ),
    wrong="""
loss = nn.CrossEntropyLoss(logits, labels)
loss.backward()
""",
    right="""
loss = nn.CrossEntropyLoss()(logits, labels)
loss.backward()
""",
)
