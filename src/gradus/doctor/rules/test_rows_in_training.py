"""Rows that are there to measure the model are among those that it learns from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import Rows, Signals

LEAST = 20  # distinct rows of the evaluation
SHARE = 0.05  # of them in training, from which it is likely; from NOTED on it is a note
NOTED = 0.02  # the rate from which a feasibility sketch told it (none in 28 sound programs)
COARSE = 40.0  # bits that a row could hold: below, equal rows may come by chance
HELD = re.compile(r"(?<![a-z])(test|val|valid|validation|dev|heldout|held|holdout|unseen)(?![a-z])", re.IGNORECASE)
TAUGHT = re.compile(r"(?<![a-z])(train|training|tr|all|pool|memory|bank|gallery|full)(?![a-z])", re.IGNORECASE)


def judge(seen: Signals) -> Iterator[Found]:
    judged = {check.source for check in seen.checks if check.loss is not None or check.judged}
    groups = [rows for rows in seen.rows if not rows.gradient]
    apart = any(len(g.signatures) >= LEAST and g.in_training < NOTED * len(g.signatures) for g in groups)
    for rows in groups:
        every, shared = len(rows.signatures), rows.in_training
        if every < LEAST or shared < max(5, NOTED * every) or not _fine(rows):
            continue
        taught, whole = _taught(seen, rows)
        if shared >= 0.8 * taught:  # it measures the training data again, or all data
            continue
        level = _level(rows, shared / every, rows.source in judged, apart, whole)
        if level is not None:
            numbers = {"shared": shared, "rows": every, "share": shared / every}
            yield Found(rows.place, level=level, numbers=numbers)


def _level(rows: Rows, share: float, judged: bool, apart: bool, whole: bool) -> Level | None:
    held, taught = bool(HELD.search(_words(rows.text))), bool(TAUGHT.search(_words(rows.text)))
    if not (held or judged):
        return None
    if share > 0.95:  # a part of the training data, measured on purpose, looks the same: its name tells
        if taught:
            return None
        return "likely" if held else None if apart else "note"
    if not whole and not held:
        return None
    discrete = rows.kinds < 64
    return "likely" if share >= (0.3 if discrete else SHARE) and (held or not taught) else "note"


def _taught(seen: Signals, rows: Rows) -> tuple[int, bool]:
    """Distinct rows that training had, and whether those are all that it ever had."""
    groups = [g for g in seen.rows if g.gradient and g.model == rows.model] or [g for g in seen.rows if g.gradient]
    signatures = {signature for g in groups for signature in g.signatures}
    again = sum(g.signatures.total() for g in groups) >= 1.3 * len(signatures)
    return len(signatures), again or all(g.batches < 400 for g in groups)


def _fine(rows: Rows) -> bool:
    """Whether rows are so fine that two different examples aren't equal by chance."""
    width = math.prod(rows.shape[1:]) if rows.shape else 0
    return rows.kinds >= 2 and width * math.log2(rows.kinds) >= COARSE


def _words(text: str) -> str:
    """A line's names in words: x_test, testLoader, val2."""
    return re.sub(r"([a-z])([A-Z0-9])", r"\1 \2", text).replace("_", " ")


rule = Rule(
    code="test-rows-in-training",
    level="likely",
    kind="exact",
    area="data",
    judge=judge,
    hides=("overfitting",),
    en=Text(
        title="rows of the test are in the training data",
        seen="{shared} of the {rows} rows ({share:.0%}) that the model is measured on were given to it in training, "
        "number for number",
        why="of these rows it may have learnt the answers by heart: the measured quality is too good, and says little "
        "about new data",
        fix="split once, before anything else, by disjoint rows: train, test = order[:n], order[n:]; drop "
        "duplicates first",
        looks="Nothing seems wrong: test results are very good, and new data disappoint.",
    ),
    zh=Text(
        title="测试数据混进了训练数据",
        seen="用来评估的 {rows} 行里有 {shared} 行（{share:.0%}）在训练中出现过，数值完全相同",
        why="模型可能把这些行的答案背了下来：测得的效果偏高，说明不了在新数据上的表现",
        fix="在做其他事之前先划分一次，保证两部分不相交：train, test = order[:n], order[n:]；划分前先去重",
        looks="看不出问题：测试结果非常好，遇到新数据却令人失望。",
    ),
    wrong="""
order = torch.randperm(len(x))
test, train = order[:400], order             # all rows are in training
""",
    right="""
order = torch.randperm(len(x))
test, train = order[:400], order[400:]
""",
)
