"""A module whose forward is missing, misspelt, or takes other arguments than it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

MISSING = re.compile(r'Module \[(\w+)\] is missing the required "forward" function')
WRITE = (
    "write def forward(self, x): in this very class, at the depth of its other methods, and look at how it is spelt",
    "在这个类里写 def forward(self, x):，缩进与其他方法一致，并检查拼写",
)
CALL = (
    "let the call and def forward(self, …) have the same arguments; (x, y) of a loader are unpacked before the call",
    "让调用与 def forward(self, …) 的参数一致；加载器给出的 (x, y) 先拆开再调用",
)
COUNT = re.compile(r"(\w+)\.forward\(\) (takes|missing|got)")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    missing, count = MISSING.search(error.message), COUNT.search(error.message)
    if missing is not None:
        yield Found(error.place, missing[1], numbers={"says": error.message, "change": WRITE})
    elif count is not None and error.kind == "TypeError":
        yield Found(error.place, count[1], numbers={"says": error.message, "change": CALL})


rule = Rule(
    code="error-forward",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="forward is missing, or takes other arguments",
        seen="{says}",
        why="calling a module, model(x), calls its forward with just these arguments; without a method of "
        "exactly this name, or "
        "with another number of arguments, it can't",
        fix="{change}",
        looks="A NotImplementedError that names forward, or a TypeError that counts its arguments, self among them.",
    ),
    zh=Text(
        title="没有 forward，或参数个数不对",
        seen="{says}",
        why="调用模块 model(x) 就是用同样的参数调用它的 forward；没有恰好叫这个名字的方法，或参数个数不符，就无法调用",
        fix="{change}",
        looks="报错 NotImplementedError 提到 forward，或 TypeError 说参数个数不对（self 也算一个）。",
    ),
    wrong="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def foward(self, x):
        return self.layer(x)
""",
    right="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)
""",
)
