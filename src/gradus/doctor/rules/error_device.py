"""Tensors of one operation lie on different devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals, TensorSeen

SAYS = (
    "on the same device",
    "Tensor on device meta is not on the expected device",
    "Expected object of device type",
    "is on cpu, but expected",
    "different devices",
    "on device meta",
    "but got weight is on",
    "be on the same device",
)


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in error.message for words in SAYS):
        return
    devices = sorted({t.device for t in error.tensors})
    lie = "; ".join(f"{t.name}: {t.device}" for t in error.tensors) or error.message.splitlines()[0]
    odd = _odd(error.tensors)
    yield Found(error.place, odd, numbers={"lie": lie, "devices": ", ".join(devices), "odd": odd or "x"})


def _odd(tensors: list[TensorSeen]) -> str:
    """The tensor that lies elsewhere than most; '' where that can't be told."""
    counted = Counter(t.device for t in tensors)
    if len(counted) < 2:
        return ""
    rare = min(counted, key=lambda device: counted[device])
    return next(t.name for t in tensors if t.device == rare)


rule = Rule(
    code="error-device",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="tensors lie on different devices",
        seen="{lie}",
        why="an operation computes on one device; PyTorch never moves a tensor by itself",
        fix=(
            "move model and batch to one device before they meet: {odd} = {odd}.to(device); "
            "model.to(device) once, before the optimiser is made"
        ),
        looks="A RuntimeError: expected all tensors to be on the same device.",
    ),
    zh=Text(
        title="张量不在同一个设备上",
        seen="{lie}",
        why="一次运算只在一个设备上进行，PyTorch 不会自动搬动张量",
        fix=(
            "在相遇之前把模型和数据放到同一个设备：{odd} = {odd}.to(device)；model.to(device) 只需一"
            "次，且要在创建优化器之前"
        ),
        looks="报错 RuntimeError: expected all tensors to be on the same device。",
    ),
    wrong="""
model.to("cuda")
for x, y in loader:
    loss = loss_of(model(x), y)
""",
    right="""
model.to("cuda")
for x, y in loader:
    x, y = x.to("cuda"), y.to("cuda")
    loss = loss_of(model(x), y)
""",
)
