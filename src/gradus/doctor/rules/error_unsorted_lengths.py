"""pack_padded_sequence was given lengths that don't fall."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    unsorted = "enforce_sorted" in error.message or "sorted in decreasing order" in error.message
    zero = "Length of all samples has to be greater than 0" in error.message
    if unsorted or zero:
        change = (
            ("leave empty sequences out", "去掉空序列")
            if zero
            else ("give enforce_sorted=False", "加上 enforce_sorted=False")
        )
        yield Found(error.place, numbers={"says": error.message.splitlines()[0][:160], "change": change})


rule = Rule(
    code="error-unsorted-lengths",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the lengths given to pack_padded_sequence aren't in order",
        seen="{says}",
        why="without enforce_sorted=False it wants the longest sequence first, and no empty one",
        fix="{change}: pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)",
        looks="RuntimeError: lengths array must be sorted in decreasing order.",
    ),
    zh=Text(
        title="交给 pack_padded_sequence 的长度没有排好序",
        seen="{says}",
        why="没有 enforce_sorted=False 时，它要求最长的序列在最前，且不能有空序列",
        fix="{change}：pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)",
        looks="报错 RuntimeError: lengths array must be sorted in decreasing order。",
    ),
    wrong="""
packed = pack_padded_sequence(x, lengths, batch_first=True)
""",
    right="""
packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
""",
)
