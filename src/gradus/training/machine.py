"""What the machine at hand does best: device, precision and memory layout, chosen by looking and by short timings.

An answer of a timing is kept in a small file of the user's cache, so that the same machine always answers the same
for the same model: two runs with equal settings take the same choices, and give the same bits.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import hashlib
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import nn

from gradus.data import Batch
from gradus.data.cache import cache_directory
from gradus.data.workers import cores
from gradus.errors import UserError
from gradus.tasks import Task
from gradus.training.step import autocast
from gradus.training.world import here

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the numbers of malloc.h
SLOW = 0.01  # seconds to read a batch, from which on other processes read ahead


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why, in words for the person at the terminal."""

    value: str
    reason: str


@functools.cache
def keep_memory() -> None:
    """Have this process keep the memory of freed tensors for the next ones.

    glibc gives large blocks back to the system at once, and each step then waits for fresh pages: with 50 MB of logits
    a third of its time. Where the memory is another library's, nothing is changed.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    adjust = ctypes.CDLL(None).mallopt
    adjust(_MMAP_THRESHOLD, 32 << 20)
    adjust(_TRIM_THRESHOLD, (1 << 31) - 1)


def choose_device(asked: str) -> tuple[torch.device, str]:
    """The device that was asked for, or the machine's accelerator, or the CPU; and why.

    Of several processes that train together each has an accelerator of its own.

    Raises:
        UserError: where the one asked for isn't there.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if asked == "auto":
        if found is None:
            return torch.device("cpu"), "no accelerator found"
        own = _own(torch.device(found.type, 0))
        return own, f"the accelerator found: {name_of(own)}"
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    count = torch.accelerator.device_count() if found is not None else 0
    there = ["cpu", *(f"{found.type}:{i}" for i in range(count) if found is not None)]
    known = device is not None and (
        device.type == "cpu" or (found is not None and device.type == found.type and (device.index or 0) < count)
    )
    if not known or device is None:
        raise UserError(f"device '{asked}' isn't there. This machine has: {', '.join(there)}.")
    return (device if device.type == "cpu" else _own(torch.device(device.type, device.index or 0))), "asked for"


def _own(device: torch.device) -> torch.device:
    """The accelerator of this process: the given one, or, of several processes, the one of its number.

    Raises:
        UserError: where there are fewer of them than processes.
    """
    number, processes = here()
    if processes == 1:
        return device
    count = torch.accelerator.device_count()
    if processes > count:
        raise UserError(
            f"device: {processes} processes on this machine, and {count} of {device.type}. "
            f"Start {count} (torchrun --nproc-per-node {count}), or train on --device cpu."
        )
    return torch.device(device.type, number)


def be_deterministic() -> None:
    """Have torch take only kernels that give the same bits each time, from now on in this process.

    An operation that has no such kernel raises an error that names it. To be called before the first product on a GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def name_of(device: torch.device) -> str:
    """The device's name as its maker gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def versions() -> dict[str, str]:
    """What a result was computed with."""
    return {
        "gradus": metadata.version("gradus"),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }


def choose_workers(asked: int | None, seconds: float) -> Choice:
    """How many processes read a person's own dataset: none, unless reading a batch takes long and forking is safe."""
    if asked is not None:
        return Choice(str(asked), "asked for")
    told = f"a batch is read in {1000 * seconds:.3g} ms"
    if seconds < SLOW or multiprocessing.get_start_method() != "fork":
        return Choice("0", told)
    return Choice(str(max(1, min(cores() // here()[1], 8))), told)


def choose_layout(asked: str, model: nn.Module, task: Task, batch: Batch) -> Choice:
    """Contiguous or channels-last memory for pictures: the faster one here, unless one was asked for."""
    if asked != "auto":
        return Choice(asked, "asked for")
    pictures = batch.inputs
    if isinstance(pictures, tuple) or pictures.ndim != 4 or not any(isinstance(m, nn.Conv2d) for m in model.modules()):
        return Choice("contiguous", "no convolutions over pictures")

    def measure() -> float | None:
        last = Batch(pictures.to(memory_format=torch.channels_last), batch.targets, batch.indices)
        plain, channels_last = fastest(
            rehearsal(model, task, batch), rehearsal(model, task, last, memory_format=torch.channels_last)
        )
        return plain / channels_last

    ratio = remembered("layout", model, batch, measure)
    if ratio is None:
        return Choice("contiguous", "the model can't be copied for a timing")
    return Choice("channels_last" if ratio > 0.95 else "contiguous", f"channels_last is {ratio:.2f} × as fast here")


def choose_precision(asked: str, model: nn.Module, task: Task, batch: Batch) -> Choice:
    """fp32, or bf16 where it makes this model's step clearly faster here, unless one was asked for."""
    if asked != "auto":
        return Choice(asked, "asked for")
    if sum(p.numel() for p in model.parameters()) < 1_000_000:
        return Choice("fp32", "the model is small")

    def measure() -> float | None:
        device = batch.targets.device
        if matmul_ratio(device) < 1.2:  # also keeps the rehearsal below from taking minutes
            return 0.0
        full, half = fastest(rehearsal(model, task, batch), rehearsal(model, task, batch, precision="bf16"))
        return full / half

    ratio = remembered("precision", model, batch, measure)
    if ratio is None:
        return Choice("fp32", "the model can't be copied for a timing")
    if ratio == 0.0:
        return Choice("fp32", "bf16 products are no faster here")
    return Choice("bf16" if ratio > 1.25 else "fp32", f"bf16 is {ratio:.2f} × as fast here")


def choose_muon(device: torch.device) -> Choice:
    """The arithmetic that Muon makes its updates orthogonal in: bf16 where products in it are clearly faster."""
    if device.type == "cuda":
        return Choice("bf16", "a GPU's fastest products")
    ratio = _kept(f"muon {name_of(device)} {platform.node()} {versions()}", lambda: matmul_ratio(device))
    assert ratio is not None
    return Choice("bf16" if ratio > 1.25 else "fp32", f"bf16 products are {ratio:.2g} × as fast here")


def matmul_ratio(device: torch.device) -> float:
    """How many times as fast a bf16 matrix product is as an fp32 one on the device."""
    full = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    half = full.bfloat16()
    seconds, seconds_half = fastest(lambda: full @ full, lambda: half @ half, rounds=5)
    return seconds / seconds_half


def rehearsal(
    model: nn.Module,
    task: Task,
    batch: Batch,
    *,
    precision: str = "fp32",
    memory_format: torch.memory_format = torch.preserve_format,
) -> Callable[[], Any]:
    """A function that runs forward and backward on a copy of the model, leaving the model and its gradients alone."""
    twin = copy.deepcopy(model).to(memory_format=memory_format).train()  # type: ignore[call-overload]

    def once() -> None:
        with autocast(batch.targets.device, precision):
            loss = task.loss_of(twin, batch)
        loss.backward()

    return once


def fastest(*functions: Callable[[], Any], rounds: int = 4) -> tuple[float, ...]:
    """The least seconds that each function takes, in turns so that a busy moment hurts all alike."""
    best = [float("inf")] * len(functions)
    for turn in range(rounds + 1):
        for place, function in enumerate(functions):
            _synchronise()
            begun = time.perf_counter()
            function()
            _synchronise()
            if turn > 0:  # the first one warms up
                best[place] = min(best[place], time.perf_counter() - begun)
    return tuple(best)


def _synchronise() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def remembered(what: str, model: nn.Module, batch: Batch, measure: Callable[[], float | None]) -> float | None:
    """The answer of an earlier timing of the same thing on the same machine, else a fresh one, kept for next time."""
    device = batch.targets.device
    parts = [(type(m).__name__, [tuple(p.shape) for p in m.parameters(recurse=False)]) for m in model.modules()]
    told = repr((what, name_of(device), platform.node(), versions(), parts, [tuple(t.shape) for t in batch.all_inputs]))
    return _kept(told, measure)


def _kept(told: str, measure: Callable[[], float | None]) -> float | None:
    """What was measured under this description earlier on, else now."""
    key = hashlib.sha256(told.encode()).hexdigest()[:32]
    file = cache_directory() / "timings" / f"{key}.json"
    try:
        return float(json.loads(file.read_text()))
    except (OSError, ValueError):
        pass
    try:
        with torch.random.fork_rng(devices=[]):  # measured or remembered, what is drawn after it is the same
            value = measure()
    except (RuntimeError, TypeError):  # a module that can't be copied or autocast: the plain way is always right
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(value))
        partial.replace(file)
    except OSError:  # no cache to write to: measured again next time
        pass
    return value
