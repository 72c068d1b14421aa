"""A graph was gone through a second time, after its first backward pass had freed it."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

RECURRENT = (
    "detach the state that is carried over: state = state.detach() at the beginning of a step",
    "在每一步开头切断带过来的状态：state = state.detach()",
)
OTHER = (
    "compute in each step all that the loss needs, or detach() what comes from before",
    "每一步都重新计算损失所需的东西，或对之前留下的张量调用 detach()",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or "backward through the graph a second time" not in error.message:
        return
    recurrent = any(word in kind for kind in ("RNN", "LSTM", "GRU") for word in [p.kind for p in seen.parameters])
    yield Found(error.place, numbers={"updates": seen.updates, "change": RECURRENT if recurrent else OTHER})


rule = Rule(
    code="error-second-backward",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="a graph is used after it was freed",
        seen=("after {updates} updates a backward pass met a part of the graph that an earlier one had freed"),
        why=(
            "something computed in an earlier step is still part of this step's loss: a hidden state "
            "carried over, a tensor computed once before the loop, a loss that is summed up"
        ),
        fix="{change}; retain_graph=True only hides it",
        looks=("RuntimeError: Trying to backward through the graph a second time. Often in the second step."),
    ),
    zh=Text(
        title="计算图释放后又被使用",
        seen="在 {updates} 次更新之后，反向传播遇到了之前已释放的那部分计算图",
        why=("之前某一步算出的东西还留在这一步的损失里：被带过来的隐藏状态、循环外只算一次的张量、累加的损失"),
        fix="{change}；retain_graph=True 只会掩盖问题",
        looks="报错 RuntimeError: Trying to backward through the graph a second time，常在第二步出现。",
    ),
    wrong="""
state = torch.zeros(1, n, 32)
for x, y in chunks:
    output, state = rnn(x, state)
    loss_of(output, y).backward()
""",
    right="""
state = torch.zeros(1, n, 32)
for x, y in chunks:
    output, state = rnn(x, state.detach())
    loss_of(output, y).backward()
""",
)
