"""A layer or a loss is given something that isn't a tensor: a list, an array, a pair."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

POSITION = re.compile(r"argument '(\w+)' \(position \d+\) must be Tensor, not ([\w.]+)")
ATTRIBUTE = re.compile(
    r"'(tuple|list|dict|ndarray|\w*Output\w*)' object has no attribute "
    r"'(size|dim|shape|view|to|float|long|detach|backward|requires_grad|mean|sum|argmax|log_softmax|squeeze)'"
)
PAIR = (
    "a recurrent layer, and any module that returns several things, gives a pair: out, state = rnn(x)",
    "循环层以及返回多个结果的模块给出的是元组：out, state = rnn(x)",
)
ARRAY = ("torch.from_numpy(x).float()", "torch.from_numpy(x).float()")
LIST = ("torch.tensor(x), or torch.stack(x) of a list of tensors", "torch.tensor(x)；若是张量的列表则 torch.stack(x)")
NAMED = ("take the tensor out by its name: out.logits, out['logits']", "按名字取出张量：out.logits、out['logits']")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or error.kind not in ("TypeError", "AttributeError"):
        return
    found = POSITION.search(error.message)
    kind = found[2] if found else ""
    if not found:
        found = ATTRIBUTE.search(error.message)
        kind = found[1] if found else ""
    if not found:
        return
    plain = kind.rpartition(".")[2]
    change = {"tuple": PAIR, "ndarray": ARRAY, "list": LIST, "int": LIST, "float": LIST}.get(plain, NAMED)
    yield Found(error.place, plain, numbers={"says": error.message.splitlines()[0], "change": change})


rule = Rule(
    code="error-not-a-tensor",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="something that is no tensor is used as one",
        seen="{says}",
        why="layers and losses compute with tensors; lists, NumPy arrays and pairs of results aren't turned into them",
        fix="{change}",
        looks="A TypeError that an argument must be Tensor, or an AttributeError of a tuple, a list or an array.",
    ),
    zh=Text(
        title="把不是张量的东西当成张量用了",
        seen="{says}",
        why="层和损失函数只对张量计算；列表、NumPy 数组、多个结果的元组不会自动转换",
        fix="{change}",
        looks="报错 TypeError 说参数必须是 Tensor，或 tuple、list、ndarray 的 AttributeError。",
    ),
    wrong="""
rnn = nn.LSTM(8, 16)
loss = F.mse_loss(rnn(x), y)
""",
    right="""
rnn = nn.LSTM(8, 16)
out, state = rnn(x)
loss = F.mse_loss(out, y)
""",
)
