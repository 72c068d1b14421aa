"""The model is measured while its dropout or batch norm is in training mode."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SHARE = 0.8  # of the passes of the evaluations
WORDS = re.compile(r"(?<![a-z])(test|val|valid|validate|validation|eval|evaluate|evaluation|dev|held)(?![a-z])", re.I)


def judge(seen: Signals) -> Iterator[Found]:
    for number, model in enumerate(seen.models):
        if not model.judging_on or not model.training or model.judging_repeats >= 0.5 * model.judging_on:
            continue
        place = model.judging_on_place
        named = place is not None and bool(WORDS.search(f"{place.source} {place.function}".replace("_", " ")))
        checks = [c for c in seen.checks if c.model == number and c.passes]
        judged = [c for c in checks if c.loss is not None or c.judged]
        if not judged and named:
            judged = checks
        passes, on = sum(c.passes for c in judged), sum(c.on for c in judged)
        if not on or on < SHARE * passes or model.judging_on < SHARE * on:
            continue
        numbers = {"on": on, "passes": passes, "layers": ", ".join(model.stochastic[:3])}
        yield Found(place, model.kind, numbers=numbers)


rule = Rule(
    code="evaluating-in-train-mode",
    level="fault",
    kind="exact",
    area="mode",
    judge=judge,
    hides=("overfitting", "tiny-batch-norm"),
    en=Text(
        title="the model is evaluated in training mode",
        seen="{on} of {passes} passes without gradient that were measured ran with {layers} in training mode",
        why="dropout throws units away at random, and batch norm takes its statistics from the test batch (and learns "
        "them): the result is noisy, too low, and depends on the batch",
        fix="call model.eval() before the evaluation, and model.train() after it",
        looks="Validation is worse than it should be, and differs from call to call on the same data.",
    ),
    zh=Text(
        title="评估时模型仍处于训练模式",
        seen="{passes} 次用于评估的无梯度前向中，有 {on} 次 {layers} 处于训练模式",
        why="dropout 会随机丢弃单元，批归一化用测试批次自己的统计量（还会更新滑动平均）：结果有噪声、偏低，"
        "并且随批次变化",
        fix="评估前调用 model.eval()，评估后再调用 model.train()",
        looks="验证结果比应有的差，同样的数据每次测得都不一样。",
    ),
    wrong="""
with torch.no_grad():
    accuracy = (model(x_val).argmax(1) == y_val).float().mean()
""",
    right="""
model.eval()
with torch.no_grad():
    accuracy = (model(x_val).argmax(1) == y_val).float().mean()
model.train()
""",
)
