"""An optimizer that was made before the model, or a layer of it, was replaced."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.rules.parameter_not_in_optimizer import in_plain_list, left_out, names_of, replaced, size_of
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    missing = [p for p in left_out(seen) if not in_plain_list(p)]
    old = replaced(seen, missing)
    if not old:
        return
    held = next((seen.optimizers[p.optimizer] for p in old if p.optimizer is not None), None)
    numbers = {"old": size_of(old), "weights": size_of(missing), "updates": seen.updates}
    yield Found(None if held is None else held.made, names_of(missing), numbers=numbers)


rule = Rule(
    code="optimizer-holds-old-parameters",
    level="fault",
    kind="exact",
    area="optimizer",
    judge=judge,
    hides=(
        "parameter-not-in-optimizer", "module-never-used", "gradient-cut", "optimisation-stuck", "lr-too-low",
        "model-too-small", "vanishing-gradient", "initial-loss-high",
    ),
    en=Text(
        title="the optimizer updates weights that the model no longer has",
        seen="it holds {old} weights that no loss leads to, while {weights} weights of the model ({subject}) got "
        "gradients, "
        "are in no optimizer, and were the same after {updates} updates",
        why="an optimizer keeps the tensors it was given; a layer or model put in later has new tensors that it never "
        "sees",
        fix="make the optimizer last: first replace, load or copy, then torch.optim.Adam(model.parameters(), lr=…)",
        looks="The loss hardly moves, or only the untouched layers learn; no error is raised.",
    ),
    zh=Text(
        title="优化器更新的是模型已经不用的参数",
        seen="它手里有 {old} 个参数没有任何损失会用到，而模型里的 {weights} 个参数（{subject}）得到了梯度却不在任何优"
        "化器里，"
        "{updates} 次更新后没有变化",
        why="优化器保存的是创建时交给它的那些张量；之后换上的层或模型是新的张量，它并不知道",
        fix="最后再创建优化器：先替换、加载或复制模型，再 torch.optim.Adam(model.parameters(), lr=…)",
        looks="损失几乎不动，或只有没换过的层在学；不会报错。",
    ),
    wrong="""
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
model.fc = nn.Linear(512, 10)
""",
    right="""
model.fc = nn.Linear(512, 10)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
""",
)  # fmt: skip
