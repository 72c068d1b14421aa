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
    "multi-target not supported",
    "Kernel size can't be greater than actual input size",
    "was expecting embedding dimension",
    "must be divisible by num_heads",
    "Expected hidden",
    "stack expects each tensor to be equal size",
    "view size is not compatible",
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
OTHERS = ("dtype", "scalar type", "loading state_dict")  # what other rules tell
LAYER = (
    "give the layer the size that comes in, or the input the axes that the layer wants",
    "让这一层的大小与输入一致，或把输入变成这一层需要的形状",
)
AXES = (
    "axes are compared from the last to the first: they must be equal, or 1; unsqueeze puts one of size 1 in",
    "从最后一维往前逐维比较：必须相等或为 1；unsqueeze 可以插入大小为 1 的一维",
)
HINTS = (
    ("multi-target not supported", ("one label a row, (N,): y.squeeze(1)", "每行一个标签，形状 (N,)：y.squeeze(1)")),
    (
        "view size is not compatible",
        ("x.reshape(…), or x.contiguous().view(…)", "x.reshape(…)，或 x.contiguous().view(…)"),
    ),
    (
        "Kernel size can't be greater",
        ("padding=…, fewer layers that halve, or larger pictures", "用 padding=…，少缩小几次，或者用更大的图片"),
    ),
    ("divisible by num_heads", ("take a num_heads that divides embed_dim", "num_heads 要能整除 embed_dim")),
    (
        "Expected hidden",
        (
            "the state is (layers, batch, hidden size), whatever batch_first is",
            "状态的形状是 (层数, batch, 隐藏大小)，与 batch_first 无关",
        ),
    ),
    (
        "stack expects each tensor",
        (
            "rows of one length: nn.utils.rnn.pad_sequence(rows, batch_first=True)",
            "各行长度要一致：nn.utils.rnn.pad_sequence(rows, batch_first=True)",
        ),
    ),
    (
        "Using a target size",
        (
            "give both one shape: model(x).squeeze(1), or y.unsqueeze(1)",
            "两边形状要一致：model(x).squeeze(1)，或 y.unsqueeze(1)",
        ),
    ),
    (
        "Expected target size",
        (
            "classes are axis 1 of the logits, (N, C, …): logits.transpose(1, 2), or logits.flatten(0, 1) "
            "and y.flatten()",
            "类别应在 logits 的第 1 维 (N, C, …)：logits.transpose(1, 2)，或 logits.flatten(0, 1) 配 y.flatten()",
        ),
    ),
    (
        "to match target batch_size",
        (
            "as many labels as rows of logits: look at a view or flatten before it that takes rows together",
            "logits 的行数要等于标签数：检查前面合并了行的 view 或 flatten",
        ),
    ),
    (
        "input to conv2d",
        (
            "pictures are (rows, channels, height, width): x.unsqueeze(1) for one channel, x.view(-1, C, "
            "H, W) of flat rows",
            "图片的形状是 (行, 通道, 高, 宽)：单通道用 x.unsqueeze(1)，展平的行用 x.view(-1, C, H, W)",
        ),
    ),
    (
        "shapes cannot be multiplied",
        (
            "the last axis of the first must be as long as the last but one of the second: a @ b.T, or b.mT of batches",
            "前者的最后一维要等于后者的倒数第二维：a @ b.T，成批时用 b.mT",
        ),
    ),
    (
        "Expected size for first two dimensions",
        (
            "(B, n, k) times (B, k, m): torch.bmm(a, b.transpose(1, 2))",
            "(B, n, k) 乘 (B, k, m)：torch.bmm(a, b.transpose(1, 2))",
        ),
    ),
    (
        "Sizes of tensors must match except",
        (
            "all axes but the one that is joined must be equal: give dim=… for another, or pad",
            "除拼接的那一维外，其余各维必须相等：用 dim=… 换一维，或补齐",
        ),
    ),
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if (
        error is None
        or any(words in error.message for words in OTHERS)
        or not any(words in error.message for words in SAYS)
    ):
        return
    if any("collate" in name for name in error.calls):
        return
    shapes = "; ".join(f"{t.name}: {t.shape}" for t in error.tensors)
    layer = f"{error.module or error.module_kind}: {error.module_says}" if error.module_kind else ""
    says = error.message.splitlines()[0]
    fits = _fits(says, error.module_says) or next(
        (hint for words, hint in HINTS if words in says), LAYER if layer else AXES
    )
    yield Found(error.place, layer, numbers={"shapes": f"{shapes}; " if shapes else "", "says": says, "fits": fits})


def _fits(says: str, layer: str) -> tuple[str, str] | None:
    """Which number to write where, for layers that were made for another size."""
    product = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", says)
    if product and layer.startswith("Linear("):
        line = f"nn.Linear({product[2]}, {product[4]})"
        return _in(line)
    channels = re.search(r"expected input\[.*\] to have (\d+) channels, but got (\d+) channels", says)
    if channels:
        return _in(f"in_channels={channels[2]}")
    wide = re.search(r"(input_size|embedding dimension).* (\d+),(?: but)? got (\d+)", says)
    if wide:
        return _in(f"{'input_size' if wide[1] == 'input_size' else 'd_model (or embed_dim)'}={wide[3]}")
    full = re.search(r"is invalid for input of size (\d+)", says)
    if full:
        return (
            f"the product of the sizes must be {full[1]}: give one as −1, or x.flatten(1) for (rows, the rest)",
            f"各维大小的乘积必须是 {full[1]}：其中一个写 −1，或用 x.flatten(1) 得到 (行数, 其余)",
        )
    return None


def _in(line: str) -> tuple[str, str]:
    return f"give the layer the size that comes in: {line}", f"让这一层的大小与输入一致：{line}"


rule = Rule(
    code="error-shape",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="shapes don't fit",
        seen="{shapes}{says}",
        why="each operation takes certain shapes only; a layer's are fixed when it is made: the last axis of what "
        "comes in must be the number of features that it was made for (a convolution's: axis 1)",
        fix="{fits}",
        looks="A RuntimeError that names two shapes.",
    ),
    zh=Text(
        title="形状对不上",
        seen="{shapes}{says}",
        why="每种运算只接受特定的形状；层的形状在创建时就定下了：输入最后一维（卷积是第 1 维）必须等于创建时的特征数",
        fix="{fits}",
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
