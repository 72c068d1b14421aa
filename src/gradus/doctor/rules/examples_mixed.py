"""The answer to one example depends on the others of its batch: an axis was taken for another."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import ModelSeen, Signals

MOVED = 1e-2  # of the answers' deviation, in evaluation mode; without mixing it is 0 but for rounding
TIME = 1e-3  # the same, where a layer takes (time, batch, …): a row that attends to a whole batch moves little


def judge(seen: Signals) -> Iterator[Found]:
    for number, model in enumerate(seen.models):
        least = TIME if model.time_first else MOVED
        if not model.mixes or max(model.mixes_by, model.mixes_order) < least or _over_batch(seen):
            continue
        ordered = model.mixes_order >= MOVED
        level: Level | None = None if (ordered or model.time_first) and not _one_set(seen, number) else "note"
        yield Found(model.place, model.kind, level, _numbers(model))


def _numbers(model: ModelSeen) -> dict[str, object]:
    change = (
        "take the layer with batch_first=True, for its input is (batch, time, features)",
        "输入是 (batch, time, features)，请给这一层加上 batch_first=True",
    )
    other = (
        "use x.permute(…) or x.transpose(…) to reorder axes; view and reshape only cut the same row of numbers anew",
        "交换维度要用 x.permute(…) 或 x.transpose(…)；view 和 reshape 只是把同一串数字重新切分",
    )
    return {"moved": max(model.mixes_by, model.mixes_order), "change": change if model.time_first else other}


def _over_batch(seen: Signals) -> bool:
    """A softmax over the axis of the batch is a fault of its own."""
    ops = [op for site in seen.training for op in site.producers]
    return any(op.name in ("softmax", "logsoftmax") and op.dim == 0 and len(op.shape or ()) == 2 for op in ops)


def _one_set(seen: Signals, number: int) -> bool:
    """Whether all passes were given the same rows, as the nodes of one graph."""
    groups = [rows for rows in seen.rows if rows.gradient and rows.model == number]
    return all(rows.batches > 1 and rows.equal_batches >= 0.9 * (rows.batches - 1) for rows in groups)


rule = Rule(
    code="examples-mixed",
    level="fault",
    kind="probe",
    area="model",
    judge=judge,
    hides=(
        "optimisation-stuck",
        "model-too-small",
        "overfitting",
        "labels-misaligned",
        "lr-too-low",
        "lr-too-high",
        "split-mismatch",
        "evaluating-in-train-mode",
    ),
    en=Text(
        title="the examples of a batch are mixed",
        seen="in evaluation mode, {subject}'s answer to an example moved by {moved:.2g} deviations when only other "
        "examples of its batch were exchanged; it must not move at all",
        why="numbers of one example land in another's row, so inputs and labels no longer belong together",
        fix="{change}",
        looks="It learns slowly and badly, and the result depends on the size of the batch.",
    ),
    zh=Text(
        title="一个批次里的样本混在了一起",
        seen="在评估模式下，只交换同一批次里的其他样本，{subject} 对某个样本的输出就变化了 {moved:.2g} 个标准差；"
        "它本不该有任何变化",
        why="一个样本的数值跑到了另一个样本的行里，输入和标签不再对应",
        fix="{change}",
        looks="学得又慢又差，结果还随批次大小变化。",
    ),
    wrong="""
maps = conv(images)                              # (batch, channels, height, width)
pixels = maps.view(height * width, batch, channels)
""",
    right="""
maps = conv(images)
pixels = maps.permute(2, 3, 0, 1).reshape(height * width, batch, channels)
""",
)
