"""Layers in a plain list or dict: the model doesn't know them, so model.parameters() leaves them out."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.rules.parameter_not_in_optimizer import in_plain_list, left_out, size_of
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    weights = [p for p in left_out(seen) if in_plain_list(p)]
    for loaded in (False, True):
        own = [p for p in weights if p.loaded == loaded]
        if own:
            kinds = sorted({p.kind for p in own})
            level: Level = "note" if loaded else "fault"
            model = own[0].name.rpartition(" in ")[2]
            numbers = {"weights": size_of(own), "tensors": len(own), "model": model, "updates": seen.updates}
            yield Found(own[0].first_place, ", ".join(kinds[:3]), level=level, numbers=numbers)


rule = Rule(
    code="layers-in-plain-list",
    level="fault",
    kind="exact",
    area="model",
    judge=judge,
    hides=(
        "parameter-not-in-optimizer", "optimisation-stuck", "lr-too-low", "model-too-small", "vanishing-gradient",
        "initial-loss-high",
    ),
    en=Text(
        title="layers that the model doesn't know: {subject} in a plain list or dict",
        seen="{model} called layers ({subject}) that it doesn't register; their {weights} weights got gradients, are "
        "in no "
        "optimizer, and were the same after {updates} updates",
        why="nn.Module finds layers only in its own attributes, nn.ModuleList and nn.ModuleDict; of a Python list or "
        "dict "
        "it sees nothing: not in parameters(), not in to(device), not in state_dict()",
        fix="wrap the list: self.layers = nn.ModuleList(layers) (a dict: nn.ModuleDict)",
        looks="The model has fewer parameters than you count, these layers never learn, and saving and loading loses "
        "them.",
    ),
    zh=Text(
        title="模型不认识这些层：{subject} 放在了普通的列表或字典里",
        seen="{model} 调用了没有注册的层（{subject}）；这 {weights} 个参数得到了梯度，却不在任何优化器里，{updates} 次"
        "更新后没有变化",
        why="nn.Module 只能从自己的属性、nn.ModuleList 和 nn.ModuleDict 里找到子层；放在 Python 列表或字典里就看不到："
        "parameters()、to(device)、state_dict() 里都没有",
        fix="把列表包起来：self.layers = nn.ModuleList(layers)（字典用 nn.ModuleDict）",
        looks="参数量比自己数的少，这些层一直学不到东西，保存再加载就丢了。",
    ),
    wrong="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(64, 64) for _ in range(3)]
""",
    right="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(3)])
""",
)  # fmt: skip
