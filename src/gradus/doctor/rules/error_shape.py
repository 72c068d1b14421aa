"""Shapes don't fit: a layer was given another number of features than it was made for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "shapes cannot be multiplied",
    "size mismatch",
    "must match the size of tensor",
    "to have",
    "is invalid for input of size",
    "Expected target size",
    "expected input",
    "Sizes of tensors must match",
    "shape '",
    "input.size(-1) must be equal",
    "Expected input batch_size",
    "Given normalized_shape",
    "The size of tensor",
    "running_mean should contain",
    "Using a target size",
    "doesn't match the broadcast shape",
    "Given groups",
    "the number of",
    "inconsistent tensor size",
    "Dimension out of range",
    "einsum",
    "expected 3D",
    "Expected 3D",
    "Expected 4D",
    "batch1 must be",
    "Expected size for first two dimensions",
    "x and y must have",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or "dtype" in error.message or not any(words in error.message for words in SAYS):
        return
    shapes = "; ".join(f"{t.name}: {t.shape}" for t in error.tensors)
    layer = f"{error.module or error.module_kind}: {error.module_says}" if error.module_kind else ""
    says = error.message.splitlines()[0]
    yield Found(
        error.place, layer, numbers={"shapes": shapes or says, "says": says, "fits": _fits(says, error.module_says)}
    )


def _fits(says: str, layer: str) -> str | tuple[str, str]:
    """Which number to write where, for the commonest case: a linear layer on a flattened batch."""
    product = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", says)
    if product and layer.startswith("Linear("):
        return f"nn.Linear({product[2]}, {product[4]})"
    channels = re.search(r"expected input\[.*\] to have (\d+) channels, but got (\d+) channels", says)
    if channels:
        return f"in_channels={channels[2]}"
    return ("print(x.shape) before the line shows it", "在这一行之前 print(x.shape) 看一看")


rule = Rule(
    code="error-shape",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="shapes don't fit",
        seen="{shapes} ({says})",
        why=(
            "a layer's size is fixed when it is made; the last axis of what comes in must be the "
            "number of features it was made for (a convolution's: axis 1)"
        ),
        fix="give the layer the size that comes in: {fits}",
        looks="A RuntimeError that names two shapes.",
    ),
    zh=Text(
        title="形状对不上",
        seen="{shapes}（{says}）",
        why="一层的大小在创建时就定下了；输入最后一维（卷积是第 1 维）必须等于创建时的特征数",
        fix="让这一层的大小与输入一致：{fits}",
        looks="报错 RuntimeError，其中提到两个形状。",
    ),
    wrong="""
self.features = nn.Conv2d(1, 8, 3)   # (N, 8, 6, 6) of 8×8 pictures
self.head = nn.Linear(8 * 8 * 8, 10)
""",
    right="""
self.features = nn.Conv2d(1, 8, 3)   # (N, 8, 6, 6) of 8×8 pictures
self.head = nn.Linear(8 * 6 * 6, 10)
""",
)
