"""A class label, or a token id, beyond what the output, or the table, has room for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Error, Signals, TensorSeen


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not (
        ("Target" in error.message and "out of bounds" in error.message)
        or "index out of range in self" in error.message
        or "t >= 0 && t < n_classes" in error.message
        or "srcIndex < srcSelectDimSize" in error.message
    ):
        return
    told = re.search(r"Target (-?\d+) is out of bounds", error.message)
    held = _held(error, None if told is None else int(told[1]))
    table = next((t for t in error.tensors if "weight" in t.name and len(t.shape) == 2), None)
    rows = table.shape[0] if table is not None and error.module_kind == "Embedding" else 0
    outputs = next((t.shape[1] for t in error.given if t.dtype.startswith(("float", "bfloat")) and len(t.shape) > 1), 0)
    room = rows or outputs or next((site.classes for site in seen.training if site.classes), 0)
    low, high = (int(held.low or 0), int(held.high or 0)) if held else (0, 0)
    name = held.name if held else "y"
    if low < 0:
        change: tuple[str, str] = (
            f"labels are 0 to C − 1: map {name} to them; rows that have none: cross_entropy(…, ignore_index={low})",
            f"标签应为 0 到 C − 1：把 {name} 映射过去；没有标签的样本用 cross_entropy(…, ignore_index={low})",
        )
    elif low == 1 and high == room:
        change = (f"{name} = {name} - 1",) * 2
    else:
        change = (f"make the last layer (or the table) {high + 1} wide", f"把最后一层（或那张表）的宽度改为 {high + 1}")
    says = error.message.splitlines()[0]
    numbers = {"low": low, "high": high, "room": room, "says": says, "change": change}
    yield Found(error.place, held.name if held else "", numbers=numbers)


def _held(error: Error, value: int | None) -> TensorSeen | None:
    """The tensor of labels or ids: on the person's line where it is there by a name, else as the function knew it."""
    whole = [t for t in (*error.tensors, *error.given) if t.high is not None and t.high < 1e9]
    if value is not None:
        whole = [t for t in whole if value in (t.low, t.high)] or whole[-1:]
    return max(whole, key=lambda t: t.high or 0.0, default=None) if value is None else next(iter(whole), None)


rule = Rule(
    code="error-label-range",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="a label is larger than the model has classes",
        seen="values from {low} to {high}; there is room for 0 to {room} - 1 ({says})",
        why=(
            "C classes, or a table of C rows, are numbered 0 to C - 1; an index beyond reads memory that isn't theirs"
        ),
        fix="{change}",
        looks=("IndexError: Target 10 is out of bounds, or index out of range in self; on a GPU a device-side assert."),
    ),
    zh=Text(
        title="标签超出了类别数",
        seen="取值从 {low} 到 {high}，只能容纳 0 到 {room} - 1（{says}）",
        why="C 个类别（或 C 行的表）编号为 0 到 C - 1，更大的编号没有对应的位置",
        fix="{change}",
        looks=(
            "报错 IndexError: Target 10 is out of bounds 或 index out of range in self；在 GPU 上是"
            " device-side assert。"
        ),
    ),
    wrong="""
model = nn.Linear(64, 9)      # digits have ten classes, 0 to 9
loss = F.cross_entropy(model(x), y)
""",
    right="""
model = nn.Linear(64, 10)
loss = F.cross_entropy(model(x), y)
""",
)
