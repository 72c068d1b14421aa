"""An optimiser that is given no weights."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = ("optimizer got an empty parameter list",)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is not None and any(words in error.message for words in SAYS):
        yield Found(error.place, numbers={"says": error.message.splitlines()[0]})


rule = Rule(
    code="error-no-parameters",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the optimiser is given no weights",
        seen="{says}",
        why="model.parameters() holds what nn.Module has registered: layers that are attributes of it. It "
        "doesn't look into a "
        "plain list or dict, and a generator that was read once is empty",
        fix="keep layers as attributes, in nn.ModuleList or in nn.ModuleDict; give parameters() anew for each use",
        looks="ValueError: optimizer got an empty parameter list.",
    ),
    zh=Text(
        title="优化器没有得到任何权重",
        seen="{says}",
        why="model.parameters() 只包含 nn.Module 登记过的内容，也就是作为属性的层；普通 list、dict "
        "里的层看不到，而用过一次的生成器已经空了",
        fix="把层作为属性，或放进 nn.ModuleList、nn.ModuleDict；每次用到时重新调用 parameters()",
        looks="报错 ValueError: optimizer got an empty parameter list。",
    ),
    wrong="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 8), nn.Linear(8, 2)]
optimizer = torch.optim.Adam(Net().parameters())
""",
    right="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 2)])
optimizer = torch.optim.Adam(Net().parameters())
""",
)
