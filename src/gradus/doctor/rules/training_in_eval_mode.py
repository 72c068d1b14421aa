"""Weights are updated while the model is in evaluation mode, its dropout and batch norm off."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

UPDATES = 10  # in that mode, at least
SHARE = 0.2  # of all updates of the model


def judge(seen: Signals) -> Iterator[Found]:
    for number, model in enumerate(seen.models):
        off, every = model.updates_off, model.updates_off + model.updates_on
        if off < UPDATES or off < SHARE * every or not _trained(seen, number, set(model.stochastic), set(model.norms)):
            continue
        numbers = {"off": off, "every": every, "layers": ", ".join(model.stochastic[:3])}
        yield Found(model.updates_off_place, model.kind, numbers=numbers)


def _trained(seen: Signals, number: int, stochastic: set[str], norms: set[str]) -> bool:
    """Whether more than frozen batch norms is off: dropout, or a batch norm whose weights an optimiser updates."""
    if stochastic - norms:
        return True
    owners = {
        p.name.rpartition(".")[0] for p in seen.parameters
        if p.model == number and p.requires_grad and p.optimizer is not None
    }  # fmt: skip
    return bool(owners & norms)


rule = Rule(
    code="training-in-eval-mode",
    level="fault",
    kind="exact",
    area="mode",
    judge=judge,
    hides=("overfitting", "evaluating-with-gradients"),
    en=Text(
        title="the model is trained in evaluation mode",
        seen="{off} of {every} updates were made after model.eval(), with {layers} switched off",
        why="dropout does nothing then, and batch norm uses old running averages in place of the batch's own",
        fix="call model.train() at the beginning of each epoch, not once before the loop",
        looks="Training seems fine, but overfits earlier; with batch norm it is worse or unstable after the first "
        "validation.",
    ),
    zh=Text(
        title="模型在评估模式下训练",
        seen="{every} 次更新中有 {off} 次是在 model.eval() 之后做的，{layers} 处于关闭状态",
        why="这时 dropout 不起作用，批归一化用的是旧的滑动平均，而不是当前批次的统计量",
        fix="在每个 epoch 开头调用 model.train()，而不是只在循环前调用一次",
        looks="训练看似正常，却更早过拟合；有批归一化时，第一次验证之后会变差或不稳定。",
    ),
    wrong="""
model.train()
for epoch in range(epochs):
    train_one_epoch(model)
    validate(model)              # calls model.eval()
""",
    right="""
for epoch in range(epochs):
    model.train()
    train_one_epoch(model)
    validate(model)
""",
)
