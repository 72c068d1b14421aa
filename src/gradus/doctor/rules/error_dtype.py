"""An operation was given numbers of a type that it doesn't take."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "must have the same dtype",
    "expected scalar type",
    "Input type (",
    "found dtype",
    "not implemented for 'Long'",
    "not implemented for 'Int'",
    "not implemented for 'Byte'",
    "not implemented for 'Double'",
    "to have one of the following scalar types",
    "expected m1 and m2 to have the same dtype",
    "can't be cast to the desired output type",
    "same dtype, but got",
    "should be the same",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not _is_one(error.message):
        return
    types = "; ".join(f"{t.name}: {t.dtype}" for t in error.tensors)
    says = error.message.splitlines()[0]
    came = {(t.shape, t.dtype) for t in error.given}
    inputs = [
        t for t in error.tensors if t.dtype in ("float64", "int64", "int32", "uint8", "bool") and "weight" not in t.name
    ]
    inputs.sort(key=lambda t: (t.shape, t.dtype) not in came)  # what the failing function was given comes first
    odd = inputs[0].name if inputs else "x"
    to = (
        "long"
        if "scalar type Long" in says or "index" in says or "Expected tensor for argument #1 'indices'" in says
        else "float"
    )
    yield Found(
        error.place,
        inputs[0].name if inputs else "",
        numbers={"types": types or says, "says": says, "odd": odd, "to": to},
    )


def _is_one(message: str) -> bool:
    return "shape" not in message and any(words in message for words in SAYS)


rule = Rule(
    code="error-dtype",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the numbers have the wrong type",
        seen="{types} ({says})",
        why=(
            "weights are float32; NumPy's numbers come as float64, pictures as uint8; class labels "
            "and token ids must be int64"
        ),
        fix="convert once, where the data are read: {odd} = {odd}.{to}()",
        looks="A RuntimeError that names two types: Float and Double, Long, Byte.",
    ),
    zh=Text(
        title="数值类型不对",
        seen="{types}（{says}）",
        why="权重是 float32；NumPy 的数默认是 float64，图片是 uint8；类别标签和词元编号必须是 int64",
        fix="在读取数据的地方转换一次：{odd} = {odd}.{to}()",
        looks="报错 RuntimeError，其中提到两种类型：Float 与 Double、Long、Byte。",
    ),
    wrong="""
x = torch.from_numpy(table)          # float64
prediction = model(x)
""",
    right="""
x = torch.from_numpy(table).float()  # float32, as the weights
prediction = model(x)
""",
)
