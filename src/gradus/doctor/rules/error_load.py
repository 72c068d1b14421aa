"""A saved model can't be read, or doesn't fit the one that it is loaded into."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

PREFIX = re.compile(
    r'Missing key\(s\) in state_dict: "([^"]+)".*Unexpected key\(s\) in state_dict: "([^"]+)"', re.DOTALL
)
PICKLED = (
    "save and load weights alone: torch.save(model.state_dict(), file), "
    "model.load_state_dict(torch.load(file)); for a "
    "file that you trust: torch.load(file, weights_only=False)",
    "只保存、读取权重：torch.save(model.state_dict(), file)，model.load_state_dict(torch.load(file))；"
    "确实可信的文件可以 torch.load(file, weights_only=False)",
)
SIZES = (
    "make the model with the sizes that it was saved with; a new last layer: leave its keys out and load with "
    "strict=False",
    "用保存时的尺寸创建模型；若换了最后一层：去掉它的键，再用 strict=False 读取",
)
KEYS = (
    "make the same model that was saved: print(state.keys()) shows its layers",
    "创建与保存时相同的模型：print(state.keys()) 可看到它的各层",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    says = " ".join(error.message.split())[:300]
    if error.kind == "UnpicklingError" and "Weights only load failed" in error.message:
        yield Found(error.place, numbers={"says": says.partition(". ")[0], "change": PICKLED})
    elif "Error(s) in loading state_dict" in error.message:
        change: tuple[str, str] = SIZES if "size mismatch" in error.message else _prefix(error.message) or KEYS
        yield Found(error.place, numbers={"says": says, "change": change})


def _prefix(message: str) -> tuple[str, str] | None:
    """The lines that mend names which differ by what stands before them, as DistributedDataParallel's do."""
    found = PREFIX.search(message)
    if found is None:
        return None
    wants, has = found[1], found[2]
    if has.endswith(wants):
        line = f"state = {{name.removeprefix({has.removesuffix(wants)!r}): value for name, value in state.items()}}"
    elif wants.endswith(has):
        line = f"state = {{{wants.removesuffix(has)!r} + name: value for name, value in state.items()}}"
    else:
        return None
    return line, line


rule = Rule(
    code="error-load",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="a saved model doesn't fit, or can't be read",
        seen="{says}",
        why="load_state_dict fills weights by their names and shapes; names come from the attributes of "
        "the classes, so that another "
        "model, or a wrapper around it, has others",
        fix="{change}",
        looks="RuntimeError: Error(s) in loading state_dict: missing keys, unexpected keys, size mismatch; or an "
        "UnpicklingError of torch.load.",
    ),
    zh=Text(
        title="保存的模型读不了或对不上",
        seen="{says}",
        why="load_state_dict 按名字和形状填入权重；名字来自类的属性，换了模型或外面多包了一层，名字就不同",
        fix="{change}",
        looks="报错 RuntimeError: Error(s) in loading state_dict：缺少键、多出键、大小不符；或 torch.load "
        "的 UnpicklingError。",
    ),
    wrong="""
torch.save(DistributedDataParallel(net).state_dict(), "net.pt")     # names begin with module.
net.load_state_dict(torch.load("net.pt"))
""",
    right="""
torch.save(DistributedDataParallel(net).module.state_dict(), "net.pt")
net.load_state_dict(torch.load("net.pt"))
""",
)
