"""Sequences are filled up to one length, and the loss learns the filling, too."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals

SEQUENCES = 8  # that must have been seen
FILLED = 0.5  # of them end in the filling
LENGTHS = 3  # different lengths of it
SHARE = 0.05  # of all targets are filling: less hardly matters
INPUTS = 4  # sequences of inputs that must have been seen


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        if site.name not in ("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss"):
            continue
        if site.reduction != "mean" or site.weighted or site.ignored or site.calls < 2 or _masked(site):
            continue
        filling = _in_targets(seen, site)
        if filling is None:
            filling = _step_by_step(seen, site)
        if filling is not None:
            value, share = filling
            yield Found(site.place, numbers={"loss": site.name, "value": value, "share": 100 * share})


def _masked(site: LossSite) -> bool:
    return any(op.scalar and op.name == "mul" for op in site.producers[:1])


def _in_targets(seen: Signals, site: LossSite) -> tuple[float, float] | None:
    """The filling at the ends of rows of targets, and its share."""
    targets, n = site.first_targets, math.prod(site.target_shape) if site.target_shape else 0
    if not targets or n < SEQUENCES * 2:
        return None
    for length, by_columns in _lengths(seen, site, n):
        if by_columns:
            if n > len(targets):
                continue
            many = n // length
            rows = [targets[number::many] for number in range(many)]
        else:
            rows = [targets[at : at + length] for at in range(0, len(targets) - length + 1, length)]
        found = _filling(rows, SEQUENCES)
        if found is not None and found[1] >= SHARE and found[0] != site.ignore_index:
            return found
    return None


def _lengths(seen: Signals, site: LossSite, n: int) -> Iterator[tuple[int, bool]]:
    """Lengths that the sequences of flat targets may have, and whether the positions come before the examples."""
    told = set()
    if len(site.target_shape) == 2 and site.target_shape[1] > 2:
        yield site.target_shape[1], False
        yield site.target_shape[0], True
        return
    if len(site.target_shape) != 1:
        return
    for model in seen.models:
        if len(model.shape) >= 2 and n in (model.shape[0], model.shape[1]):  # one label an example
            continue
        for shape in (model.output_shape, model.shape):
            if len(shape) < 2:
                continue
            for axis in (1, 0):
                for length in (shape[axis], shape[axis] - 1):
                    if length > 2 and n % length == 0 and n > length and (length, axis == 0) not in told:
                        told.add((length, axis == 0))
                        yield length, axis == 0


def _filling(rows: list[list[float]], least: int) -> tuple[float, float] | None:
    """The value that many rows end in, in runs of different lengths, and that stands nowhere else; and its share."""
    rows = [row for row in rows if len(row) > 2]
    if len(rows) < least:
        return None
    ends: dict[float, int] = {}
    for row in rows:
        ends[row[-1]] = ends.get(row[-1], 0) + 1
    value = max(ends, key=lambda v: ends[v])
    if ends[value] < FILLED * len(rows):
        return None
    runs = []
    for row in rows:
        run = 0
        while run < len(row) and row[-1 - run] == value:
            run += 1
        if row.count(value) != run or run == len(row):  # it means something, too; or all is filling
            return None
        runs.append(run)
    if len(set(runs)) < LENGTHS or max(runs) < 2:
        return None
    return value, sum(runs) / sum(len(row) for row in rows)


def _step_by_step(seen: Signals, site: LossSite) -> tuple[float, float] | None:
    """The filling of inputs that is a label of a loss which is called at each position of a sequence."""
    passes = sum(b.calls for b in seen.backwards)
    if site.classes < 3 or len(site.target_shape) != 1 or not passes or site.calls < 3 * passes:
        return None
    for model in seen.models:
        rows = [[float(v) for v in row] for row in model.integer_rows]
        found = _filling(rows, INPUTS)
        if found is None or max(v for row in rows for v in row) >= site.classes:
            continue
        label, all_ = int(found[0]), sum(site.labels.values())
        share = site.labels[label] / all_ if all_ else 0.0
        if label != site.ignore_index and share >= SHARE:
            return found[0], share
    return None


rule = Rule(
    code="padding-in-loss",
    level="likely",
    kind="statistic",
    area="loss",
    judge=judge,
    en=Text(
        title="the loss learns the padding, too",
        seen="the targets of {loss} end in runs of {value:g} of different lengths, a value that stands nowhere else: "
        "{share:.0f} % of all targets",
        why="answering the filling is easy: it makes the mean loss and the accuracy look good, and pulls the model "
        "away "
        "from what matters",
        fix="leave the padding out of the loss: F.cross_entropy(logits, y, ignore_index={value:g}) (for numbers: a "
        "mask)",
        looks="The loss is surprisingly low from early on, yet the answers at real positions are poor, or end too "
        "soon.",
    ),
    zh=Text(
        title="损失把填充（padding）也学进去了",
        seen="{loss} 的目标以长短不一的一串 {value:g} 结尾，这个值在别处从不出现：占全部目标的 {share:.0f} %",
        why="填充很容易预测：它让平均损失和准确率看起来很好，却把模型从真正重要的内容上拉开",
        fix="计算损失时去掉填充：F.cross_entropy(logits, y, ignore_index={value:g})（数值目标则用掩码）",
        looks="损失很早就低得出奇，但真实位置上的输出很差，或者序列过早结束。",
    ),
    wrong="""
y = pad_sequence(sequences, batch_first=True, padding_value=0)
loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
""",
    right="""
y = pad_sequence(sequences, batch_first=True, padding_value=0)
loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=0)
""",
)
