"""A tensor that wants gradients, or lies on a GPU, is to become an array of NumPy."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "Can't call numpy() on Tensor that requires grad",
    "can't convert cuda:",
    "can't convert mps",
    "can't convert CUDA tensor to numpy",
    "Only Tensors created explicitly by the user",
)
COPY = ("copy it without its graph: x.detach().clone()", "复制时去掉计算图：x.detach().clone()")
ARRAY = ("x.detach().cpu().numpy(), of one number x.item()", "x.detach().cpu().numpy()；只有一个数时用 x.item()")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in error.message for words in SAYS):
        return
    held = "; ".join(f"{t.name}: {t.shape}, {t.device}" for t in error.tensors)
    says = error.message.splitlines()[0]
    change = COPY if "created explicitly" in says else ARRAY
    yield Found(error.place, numbers={"held": f"{held}; " if held else "", "says": says, "change": change})


rule = Rule(
    code="error-numpy",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="a tensor with gradients or on a GPU can't become an array",
        seen="{held}{says}",
        why="an array of NumPy has no place for a graph of gradients and lies in the main memory; to lose "
        "the first and copy from "
        "the second is for you to ask",
        fix="{change}",
        looks="RuntimeError: Can't call numpy() on Tensor that requires grad. Plotting losses often brings it.",
    ),
    zh=Text(
        title="带梯度或在 GPU 上的张量不能直接变成数组",
        seen="{held}{says}",
        why="NumPy 数组没有地方放梯度的计算图，并且在主内存里；去掉计算图、从 GPU 拷出来，都要明确写出",
        fix="{change}",
        looks="报错 RuntimeError: Can't call numpy() on Tensor that requires grad。画损失曲线时常见。",
    ),
    wrong="""
losses.append(loss)
plt.plot(np.array([value.numpy() for value in losses]))
""",
    right="""
losses.append(loss.item())
plt.plot(losses)
""",
)
