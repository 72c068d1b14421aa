"""A value that the backward pass needs was changed in place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    if "modified by an inplace operation" in error.message:
        shape = re.search(r"\[torch\.\w+ \[([\d, ]*)\]\]", error.message)
        output = re.search(r"which is output \d+ of (\w+)", error.message)
        of = f", {output[1].removesuffix('Backward0')}" if output else ""
        told = f"({shape[1]})" if shape else "()"
        yield Found(error.place, numbers={"told": (f"a tensor of shape {told}{of}", f"形状为 {told} 的张量{of}")})
    elif "a leaf Variable that requires grad" in error.message:
        yield Found(error.place, numbers={"told": ("a weight", "一个权重")})


rule = Rule(
    code="error-inplace",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="a value is overwritten before the backward pass needs it",
        seen="{told} was changed in place",
        why=(
            "autograd keeps results of the forward pass to compute gradients; x += …, relu_(x), x[i] "
            "= … and a step of the optimiser between forward and backward overwrite them"
        ),
        fix=(
            "write x = x + … in place of x += …; update weights under torch.no_grad(), or by an "
            "optimiser, after backward()"
        ),
        looks=(
            "RuntimeError: one of the variables needed for gradient computation has been modified by "
            "an inplace operation."
        ),
    ),
    zh=Text(
        title="反向传播还要用的值被改写了",
        seen="{told} 被就地修改",
        why=(
            "autograd 保留了前向的结果用来求梯度；x += …、relu_(x)、x[i] = …，以及在前向和反向之间调"
            "用优化器，都会把它们改写"
        ),
        fix="把 x += … 写成 x = x + …；权重要在 torch.no_grad() 里或由优化器在 backward() 之后更新",
        looks=(
            "报错 RuntimeError: one of the variables needed for gradient computation has been "
            "modified by an inplace operation。"
        ),
    ),
    wrong="""
h = torch.sigmoid(self.first(x))
h += self.skip(x)
""",
    right="""
h = torch.sigmoid(self.first(x))
h = h + self.skip(x)
""",
)
