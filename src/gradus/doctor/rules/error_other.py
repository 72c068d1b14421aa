"""An exception that no other rule has words for: where it happened, and what stood on the line."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text, rules
from gradus.doctor.signals import Signals

TENSORS = ("; on that line: {tensors}", "；这一行上有：{tensors}")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    others = (rule for rule in rules().values() if rule.area == "error" and rule.code != "error-other")
    if error is None or any(list(rule.judge(seen)) for rule in others):
        return
    told = "; ".join(f"{t.name}: {t.shape} {t.dtype} {t.device}" for t in error.tensors)
    yield Found(
        error.place, error.module_says,
        numbers={
            "says": f"{error.kind}: {(error.message.splitlines() or [''])[0]}",
            "tensors": tuple(words.format(tensors=told) for words in TENSORS) if told else ("", ""),
        },
    )  # fmt: skip


rule = Rule(
    code="error-other",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="an exception ended the program",
        seen="{says}{tensors}",
        why="the doctor has no words of its own for this one; the line is the innermost of your own that was running",
        fix="look at what stands on that line: print(type(x), getattr(x, 'shape', x)) just before it",
        looks="A traceback, whose last line is the exception.",
    ),
    zh=Text(
        title="程序因异常而结束",
        seen="{says}{tensors}",
        why="这个异常没有专门的说明；这一行是当时正在运行的、你自己的最里层代码",
        fix="看看这一行用到的东西：在它前面加 print(type(x), getattr(x, 'shape', x))",
        looks="一段 traceback，最后一行就是异常。",
    ),
    wrong="""
rows = torch.load("rows.pt")          # FileNotFoundError: the program runs in another folder
""",
    right="""
rows = torch.load(Path(__file__).parent / "rows.pt")
""",
)
