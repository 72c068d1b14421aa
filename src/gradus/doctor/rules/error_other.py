"""An exception that no other rule has words for: where it happened, and what stood on the line."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text, rules
from gradus.doctor.signals import Signals

TENSORS = ("; on that line: {tensors}", "；这一行上有：{tensors}")
LOOK = (
    "look at what stands on that line: print(type(x), getattr(x, 'shape', x)) just before it",
    "看看这一行用到的东西：在它前面加 print(type(x), getattr(x, 'shape', x))",
)
CHANGES = {
    "ModuleNotFoundError": (
        "pip install what it names, in the environment that runs the script",
        "在运行脚本的环境里 pip install 它提到的包",
    ),
    "FileNotFoundError": (
        "names of files begin at the folder that the script is started in: print(os.getcwd()), or "
        "Path(__file__).parent / …",
        "文件名从启动脚本时所在的文件夹算起：print(os.getcwd())，或用 Path(__file__).parent / …",
    ),
    "NameError": ("define the name before this line, or mend its spelling", "在这一行之前定义这个名字，或改正拼写"),
}


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    others = (rule for rule in rules().values() if rule.area == "error" and rule.code != "error-other")
    if error is None or any(list(rule.judge(seen)) for rule in others):
        return
    told = "; ".join(f"{t.name}: {t.shape} {t.dtype} {t.device}" for t in error.tensors)
    yield Found(
        error.place, error.module_says,
        numbers={
            "change": CHANGES.get(error.kind, LOOK),
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
        fix="{change}",
        looks="A traceback, whose last line is the exception.",
    ),
    zh=Text(
        title="程序因异常而结束",
        seen="{says}{tensors}",
        why="这个异常没有专门的说明；这一行是当时正在运行的、你自己的最里层代码",
        fix="{change}",
        looks="一段 traceback，最后一行就是异常。",
    ),
    wrong="""
rows = torch.load("rows.pt")          # FileNotFoundError: the program runs in another folder
""",
    right="""
rows = torch.load(Path(__file__).parent / "rows.pt")
""",
)
