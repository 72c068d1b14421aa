"""A module's __init__ sets layers before (or without) super().__init__()."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "before Module.__init__() call",
    "has no attribute '_modules'",
    "has no attribute '_parameters'",
    "has no attribute '_backward_hooks'",
    "has no attribute '_forward_hooks'",
    "has no attribute '_backward_pre_hooks'",
    "super(type, obj)",
    "has no attribute '_buffers'",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in error.message for words in SAYS):
        return
    kind = re.search(r"'(\w+)' object has no attribute", error.message)
    yield Found(error.place, kind[1] if kind else error.module_kind, numbers={"says": error.message.splitlines()[0]})


rule = Rule(
    code="error-super-init",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="super().__init__() is missing",
        seen="{says}",
        why=(
            "nn.Module.__init__ makes the tables that layers and weights are entered in; a layer "
            "can't be entered before"
        ),
        fix=(
            "write super().__init__() as the first line of __init__, in the class itself (not super(OtherClass, self))"
        ),
        looks="AttributeError: cannot assign module before Module.__init__() call.",
    ),
    zh=Text(
        title="缺少 super().__init__()",
        seen="{says}",
        why="nn.Module.__init__ 会建好登记层和权重的表；在此之前无法登记任何层",
        fix="把 super().__init__() 写在 __init__ 的第一行，并且是本类（不是 super(别的类, self)）",
        looks="报错 AttributeError: cannot assign module before Module.__init__() call。",
    ),
    wrong="""
class Net(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(4, 2)
""",
    right="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
""",
)
