"""Samples of one batch differ in shape or kind, so they can't be stacked."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "equal size",
    "default_collate: batch must contain",
    "each element in list of batch should be of equal size",
    "Trying to resize storage",
    "not resizable",
)
PAD = (
    "give the loader a collate_fn that pads: collate_fn=lambda rows: pad_sequence(rows, batch_first=True), of pairs "
    "(x, y) the x alone; pictures: resize them to one size in __getitem__",
    "给 loader 一个会补齐的 collate_fn：collate_fn=lambda rows: pad_sequence(rows, batch_first=True)，"
    "若样本是 (x, y) 则只补 x；图片则在 __getitem__ 里缩放到同一尺寸",
)
NOTHING = (
    "__getitem__ gave None: let it end with return x, y for every row, and leave rows that can't be read out before",
    "__getitem__ 返回了 None：每个样本都要 return x, y；读不了的样本应事先去掉",
)
OBJECTS = (
    "let __getitem__ give tensors, arrays, numbers or texts, one kind at each place; or write a collate_fn "
    "for the rest",
    "让 __getitem__ 返回张量、数组、数或文本，同一位置类型一致；其他对象要自己写 collate_fn",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or ("collate" not in " ".join(error.calls) and "collate" not in error.message):
        return
    says = next((m for m in error.message.splitlines() if any(w in m for w in SAYS)), "")
    if says:
        change = NOTHING if "NoneType" in says else PAD if "equal size" in says else OBJECTS
        yield Found(error.place, numbers={"says": says.strip()[:200], "change": change})


rule = Rule(
    code="error-collate",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the samples of a batch can't be stacked",
        seen="{says}",
        why=(
            "a DataLoader stacks the samples of a batch into one tensor, which takes equal shapes; "
            "None and objects it can't stack at all"
        ),
        fix="{change}",
        looks=("RuntimeError: stack expects each tensor to be equal size; or TypeError in default_collate."),
    ),
    zh=Text(
        title="一批里的样本拼不到一起",
        seen="{says}",
        why="DataLoader 要把一批样本叠成一个张量，形状必须相同；None 和其他对象根本无法叠",
        fix="{change}",
        looks=("报错 RuntimeError: stack expects each tensor to be equal size，或 default_collate 里的 TypeError。"),
    ),
    wrong="""
loader = DataLoader(sentences, batch_size=8)     # of unequal lengths
""",
    right="""
loader = DataLoader(sentences, batch_size=8, collate_fn=lambda rows: pad_sequence(rows, batch_first=True))
""",
)
