"""An operation was given numbers of a type that it doesn't take."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "must have the same dtype",
    "expected scalar type",
    "input type (",
    "found dtype",
    "not implemented for 'long'",
    "not implemented for 'int'",
    "not implemented for 'byte'",
    "not implemented for 'double'",
    "to have one of the following scalar types",
    "to have the same dtype",
    "can't be cast to the desired output type",
    "same dtype, but got",
    "should be the same",
    "expected target dtype to be",
    "expected floating point type",
    "could not infer output dtype",
    "floating point and complex dtype",
    "tensors used as indices must be",
    "only applicable to index tensor",
    "expected dtype int64 for index",
)
WHOLE = ("scalar type long", "target dtype to be long", "indices", "index")  # in messages that ask for int64
COUNTED = ("float64", "float32", "float16", "bfloat16", "int32", "int16", "uint8", "bool")  # where int64 is wanted
FLOATS = ("float64", "int64", "int32", "uint8", "bool")  # where the weights' type is wanted


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not _is_one(error.message):
        return
    types = "; ".join(f"{t.name}: {t.dtype}" for t in error.tensors)
    says = error.message.splitlines()[0]
    to = "long" if any(words in says.lower() for words in WHOLE) else "float"
    role = "target" if "target" in says or "scalar type Long" in says else "indices" if to == "long" else "input"
    came = {(t.shape, t.dtype): t.name for t in error.given}
    odd = [t for t in error.tensors if t.dtype in (COUNTED if to == "long" else FLOATS) and "weight" not in t.name]
    # what the failing function was given comes first, and of that what it calls by the name that the message speaks of
    odd.sort(key=lambda t: ((t.shape, t.dtype) not in came, came.get((t.shape, t.dtype)) != role))
    source = error.place.source if error.place is not None else ""
    if role == "indices":  # of table[ids] the part in brackets
        odd.sort(key=lambda t: f"[{t.name}]" not in source)
    name = odd[0].name if odd else ""
    yield Found(
        error.place, name, numbers={"types": f"{types}; " if types else "", "says": says, "odd": name or "x", "to": to}
    )


def _is_one(message: str) -> bool:
    return "shape" not in message and any(words in message.lower() for words in SAYS)


rule = Rule(
    code="error-dtype",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the numbers have the wrong type",
        seen="{types}{says}",
        why=(
            "weights are float32; NumPy's numbers come as float64, pictures as uint8; class labels "
            "and token ids must be int64"
        ),
        fix="convert once, where the data are read: {odd} = {odd}.{to}()",
        looks="A RuntimeError that names two types: Float and Double, Long, Byte.",
    ),
    zh=Text(
        title="数值类型不对",
        seen="{types}{says}",
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
