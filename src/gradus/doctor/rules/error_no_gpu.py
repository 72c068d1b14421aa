"""The program asks for a GPU that isn't there."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SAYS = (
    "Torch not compiled with CUDA enabled",
    "Found no NVIDIA driver",
    "No CUDA GPUs are available",
    "invalid device ordinal",
    "Attempting to deserialize object on a CUDA device",
    "PyTorch is not linked with support for mps",
)
DEVICE = (
    "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu'), and .to(device) in place of .cuda()",
    "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')，并用 .to(device) 代替 .cuda()",
)
MAP = ("torch.load(file, map_location='cpu')", "torch.load(file, map_location='cpu')")


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None or not any(words in error.message for words in SAYS):
        return
    change = MAP if "deserialize" in error.message else DEVICE
    yield Found(error.place, numbers={"says": error.message.splitlines()[0], "change": change})


rule = Rule(
    code="error-no-gpu",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="there is no such GPU here",
        seen="{says}",
        why="this machine has no GPU that this build of PyTorch can use: no driver, a build for CPUs, or "
        "fewer of them than asked for",
        fix="{change}",
        looks="AssertionError: Torch not compiled with CUDA enabled; RuntimeError: Found no NVIDIA driver.",
    ),
    zh=Text(
        title="这里没有这样的 GPU",
        seen="{says}",
        why="这台机器上没有当前 PyTorch 能用的 GPU：没有驱动、装的是 CPU 版本，或 GPU 数量不够",
        fix="{change}",
        looks="报错 AssertionError: Torch not compiled with CUDA enabled；RuntimeError: Found no NVIDIA driver。",
    ),
    wrong="""
model = Net().cuda()
""",
    right="""
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = Net().to(device)
""",
)
