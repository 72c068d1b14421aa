"""Evaluation passes that record a graph which nothing goes through."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

PASSES = 3  # at least: one look at an answer isn't an evaluation


def judge(seen: Signals) -> Iterator[Found]:
    for model in seen.models:
        if model.not_followed >= PASSES:
            numbers = {"passes": model.not_followed}
            yield Found(model.not_followed_place, model.kind, numbers=numbers)


rule = Rule(
    code="evaluating-with-gradients",
    level="likely",
    kind="exact",
    area="mode",
    judge=judge,
    hides=("loss-keeps-graph", "losses-kept"),
    en=Text(
        title="evaluation records gradients for nothing",
        seen="{passes} passes in evaluation mode recorded a graph, and no backward pass followed",
        why="autograd keeps the values of every layer for a backward pass that never comes: it costs memory and time",
        fix="put the evaluation under with torch.no_grad(): (or @torch.no_grad() on its function)",
        looks="Results are right; validation needs much more memory than it should, and may run out of it.",
    ),
    zh=Text(
        title="评估时白白记录了计算图",
        seen="{passes} 次评估模式下的前向记录了计算图，之后却没有反向传播",
        why="autograd 为永远不会到来的反向传播保留了每一层的中间值，浪费内存和时间",
        fix="把评估放在 with torch.no_grad(): 里（或给函数加 @torch.no_grad()）",
        looks="结果是对的，但验证占用的内存远超所需，甚至内存不足。",
    ),
    wrong="""
model.eval()
loss = sum(loss_of(model(x), y).item() for x, y in valid)
""",
    right="""
model.eval()
with torch.no_grad():
    loss = sum(loss_of(model(x), y).item() for x, y in valid)
""",
)
