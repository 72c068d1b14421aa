"""Each step is given the same batch, though there are more rows."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import Rows, Signals

STEPS = 20  # passes, at least
EQUAL = 0.9  # of them, on the rows of the pass before
MORE = 1.5  # rows that there are / rows of the batch
UNUSED = 0.5  # of a tensor that the batch was cut from, rows that neither training nor validation had


def judge(seen: Signals) -> Iterator[Found]:
    groups = [rows for rows in seen.rows if rows.gradient]
    for rows in groups:
        batch = rows.shape[0] if rows.shape else 0
        known: set[int] = set()
        for other in groups:
            if other.model == rows.model:
                known.update(other.signatures)
        if rows.batches < STEPS or not batch or rows.equal_batches < EQUAL * min(rows.batches, 400):
            continue
        if len(known) > 1.2 * batch:
            continue
        level, there = _more(seen, rows, batch)
        if there:
            numbers = {"steps": rows.batches, "batch": batch, "there": there}
            yield Found(rows.place, level=level, numbers=numbers)
            return


def _more(seen: Signals, rows: Rows, batch: int) -> tuple[Level, int]:
    """How sure it is that there are more rows than the batch, and how many; 0 where nothing shows that."""
    validated = any(check.passes and (check.loss is not None or check.judged) for check in seen.of_validation())
    for loader in seen.loaders:
        there = loader.rows or 0
        if not loader.training or there < MORE * batch or (loader.batch_size or 0) > batch:
            continue
        if loader.epochs >= STEPS and loader.batches < 2 * loader.epochs:
            return "fault", there
        if loader.batches < 0.2 * rows.batches:  # one batch, taken before the loop
            return ("likely" if validated else "note"), there
        return "likely", there
    used = batch + max((len(r.signatures) for r in seen.rows if not r.gradient), default=0)
    if rows.of is not None and rows.of >= MORE * batch and rows.of - used >= UNUSED * rows.of:
        return ("likely" if validated else "note"), rows.of
    return "note", 0


rule = Rule(
    code="same-batch",
    level="likely",
    kind="exact",
    area="data",
    judge=judge,
    hides=("overfitting", "not-shuffled", "labels-misaligned", "optimisation-stuck", "model-too-small",
           "one-class-predicted", "waits-for-data", "split-mismatch"),
    en=Text(
        title="each step sees the same batch",
        seen="{steps} steps were given the same {batch} rows; there are {there}",
        why="the model learns these few rows by heart, and never sees the others",
        fix="take a new batch in each step: for x, y in loader: …; next(iter(loader)) begins anew each time",
        looks="The training loss falls to 0 at once; validation stays poor.",
    ),
    zh=Text(
        title="每一步用的都是同一个批次",
        seen="{steps} 步用的都是同样的 {batch} 行数据，而数据共有 {there} 行",
        why="模型只把这几行背了下来，其余数据从未见过",
        fix="每一步取新的批次：for x, y in loader: …；next(iter(loader)) 每次都会从头开始",
        looks="训练损失很快降到 0，验证结果却一直不好。",
    ),
    wrong="""
for step in range(steps):
    x, y = next(iter(loader))          # a new iterator each time: the first batch again
    train_step(x, y)
""",
    right="""
for epoch in range(epochs):
    for x, y in loader:
        train_step(x, y)
""",
)  # fmt: skip
