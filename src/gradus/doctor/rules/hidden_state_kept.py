"""A recurrent state is carried into the next step together with the graph of the step before."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import BackwardSite, Signals

LOOKS = 4  # at growing graphs
GROWTH = 3.0  # of the graph over the run, under retain_graph=True
LONGER = 1.3  # second graph / first, where the second backward pass fails and no layer is recurrent


def judge(seen: Signals) -> Iterator[Found]:
    site = seen.main
    if site is None:
        return
    message = seen.error.message if seen.error is not None else ""
    twice = "backward through the graph a second time" in message
    stale = "modified by an inplace operation" in message and site.retain
    state = any(word in p.kind for p in seen.parameters for word in ("RNN", "LSTM", "GRU"))
    failed = (twice or stale) and seen.updates >= 1 and not seen.kept.added and _longer(site, state)
    if failed or _grows(site):
        first, last = site.nodes[0][1], site.nodes[-1][1]
        what = ("the recurrent state", "循环网络的状态") if state else ("a value that is carried over", "跨步保留的值")
        place = seen.error.place if failed and seen.error is not None else site.place
        yield Found(place, numbers={"first": first, "last": last, "what": what})


def _longer(site: BackwardSite, recurrent: bool) -> bool:
    """Whether the graph of a later step contains that of an earlier one."""
    if len(site.nodes) < 2:
        return False
    first, last = site.nodes[0][1], site.nodes[-1][1]
    return last > first if recurrent else last >= LONGER * first


def _grows(site: BackwardSite) -> bool:
    sizes = [size for _, size in site.nodes]
    if not site.retain or len(sizes) < LOOKS or sizes[-1] < GROWTH * sizes[0]:
        return False
    return all(later >= earlier for earlier, later in pairwise(sizes)) and len(set(sizes)) >= LOOKS


rule = Rule(
    code="hidden-state-kept",
    level="fault",
    kind="exact",
    area="mode",
    judge=judge,
    hides=("error-second-backward", "error-inplace", "losses-kept", "loss-keeps-graph", "exploding-gradient"),
    en=Text(
        title="the state of the last batch is kept with its graph",
        seen="the graph of a step grew from {first} to {last} operations: {what} leads back into earlier steps",
        why="a backward pass then runs through all earlier steps, whose values are freed already; "
        "retain_graph=True only "
        "makes each step slower and larger than the one before",
        fix="cut it at the beginning of a step: state = state.detach() (an LSTM's: tuple(s.detach() for s in "
        "state)), or "
        "begin with a new state where batches don't continue one another",
        looks="'Trying to backward through the graph a second time' in the second step, or steps that become "
        "slower and "
        "slower.",
    ),
    zh=Text(
        title="上一批次的状态连同计算图一起被保留",
        seen="单步的计算图从 {first} 个操作增长到 {last} 个：{what}一直连着之前的步骤",
        why="反向传播要穿过之前所有步骤，而它们的中间值已经释放；retain_graph=True 只会让每一步越来越慢、越来越占内存",
        fix="在每一步开头切断：state = state.detach()（LSTM 用 tuple(s.detach() for s in state)）；"
        "批次之间没有先后关系时，每次用新的初始状态",
        looks="第二步报错 'Trying to backward through the graph a second time'，或每一步越来越慢。",
    ),
    wrong="""
for x, y in loader:
    output, state = lstm(x, state)
    loss_of(output, y).backward()
""",
    right="""
for x, y in loader:
    state = tuple(s.detach() for s in state)
    output, state = lstm(x, state)
    loss_of(output, y).backward()
""",
)
