"""The backward pass began at a loss that leads to no weight."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or "does not require grad and does not have a grad_fn" not in error.message:
        return
    cut = next((c for c in seen.cuts if c.place is not None and c.after_loss < c.times), None)
    cuts = (
        (f"{cut.op}, line {cut.place.line}",) * 2
        if cut is not None and cut.place is not None
        else ("no cut was seen", "没有看到切断处")
    )
    frozen = seen.parameters and not any(p.requires_grad for p in seen.parameters)
    yield Found(
        cut.place if cut is not None else error.place,
        numbers={"cuts": ("all weights are frozen", "所有权重都被冻结") if frozen else cuts},
    )


rule = Rule(
    code="error-no-grad",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="the loss leads to no weight",
        seen="backward() was called on a value without a graph: {cuts}",
        why=(
            "between the weights and the loss the graph was left: by no_grad(), detach(), .data, "
            ".item(), numpy(), argmax(), or torch.tensor(x); or every weight has requires_grad=False"
        ),
        fix="compute the loss from the model's output itself, outside of no_grad()",
        looks="RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn.",
    ),
    zh=Text(
        title="损失与任何权重都没有联系",
        seen="对没有计算图的值调用了 backward()：{cuts}",
        why=(
            "从权重到损失的途中离开了计算图：no_grad()、detach()、.data、.item()、numpy()、argmax()、"
            "torch.tensor(x)；或者所有权重都是 requires_grad=False"
        ),
        fix="在 no_grad() 之外，直接用模型的输出计算损失",
        looks=("报错 RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn。"),
    ),
    wrong="""
loss = F.mse_loss(torch.tensor(model(x).tolist()), y)
loss.backward()
""",
    right="""
loss = F.mse_loss(model(x), y)
loss.backward()
""",
)
