"""The arithmetic that a model writes with: exact, or with weights of fewer bits, since a step is bound by reading them.

On a CPU they may have 8 bits; whether that is faster here a timing says, once. Each row of a batch is scaled by itself
and its sums are whole numbers, so that no row has a say in another's result, to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data import Batch
from gradus.errors import UserError
from gradus.language.compact import Affine, Compact
from gradus.language.rows import STEP, Decoder
from gradus.models import GPT
from gradus.training.machine import Choice, fastest, remembered

SMALL = 2_000_000  # parameters; a smaller model's step is not bound by its weights
LARGE = 200_000_000  # parameters, from which on a second copy of exact weights isn't worth its memory
GAIN = 1.25  # times as fast, from which on rounded weights are worth it
ROUNDS = 12  # of the timing: so many that a busy neighbour leaves each a quiet moment
NAMES = ("auto", "none", "int8")


def choose_arithmetic(model: GPT, asked: str) -> Choice:
    """``exact``, ``int8`` or ``bf16``, and why.

    Args:
        asked: ``none`` for exact weights, ``int8``, or ``auto`` for what is fastest here.

    Raises:
        UserError: for a name that there isn't, or int8 where it can't be had.
    """
    if asked not in NAMES:
        raise UserError(f"quantise: '{asked}' is no choice: give {', '.join(NAMES)}.")
    if asked == "none":
        return Choice("exact", "asked for")
    on_cpu = model.embed.weight.device.type == "cpu"
    if asked == "int8":
        if not on_cpu:
            raise UserError("quantise: int8 weights are for writing on a CPU; leave it out, or add --device cpu.")
        if not available():
            raise UserError("quantise: int8 products aren't there, or not exact, in this build of torch; leave it out.")
        return Choice("int8", "asked for")
    if sum(p.numel() for p in model.parameters()) < SMALL:
        return Choice("exact", "the model is small")
    if not on_cpu:
        half = model.embed.weight.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return Choice("bf16", "half the memory to read") if half else Choice("exact", "the plain way on this device")
    if not available():
        return Choice("exact", "int8 products aren't there, or not exact, in this build of torch")
    ids = torch.zeros(1, 1, dtype=torch.int64)

    def measure() -> float:
        plain, rounded = fastest(_step(writer_of(model, "exact")), _step(writer_of(model, "int8")), rounds=ROUNDS)
        return plain / rounded

    ratio = remembered("int8", model, Batch(ids, ids, ids), measure)
    if ratio is None:
        return Choice("exact", "int8 weights can't be timed here")
    return Choice("int8" if ratio > GAIN else "exact", f"int8 weights are {ratio:.1f} × as fast here")


def writer_of(model: GPT, arithmetic: str) -> Decoder:
    """What writes with a model's weights in one of the arithmetics."""
    if arithmetic == "int8":
        return Compact(model, Int8)
    if arithmetic == "bf16":
        return Compact(model, partial(_affine, dtype=torch.bfloat16), torch.bfloat16)
    if model.embed.weight.dtype != torch.float32 or sum(p.numel() for p in model.parameters()) > LARGE:
        return model
    return Compact(model, _affine)


class Int8:
    """An affine map with a weight of 8 bits, each output's with a scale of its own.

    Each row of the input is divided by its own largest number, so that all are rounded to the same steps.

    Args:
        weight: (out, in).
        bias: (out,).

    Shapes: (…, in) → (…, out).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.packed = _packed(weight.float(), (weight.float().abs().amax(1) / 127).clamp_min(1e-30))
        self.bias = bias
        self.most = 63 if _saturates() else 127  # steps between 0 and the largest number

    def __call__(self, x: Tensor) -> Tensor:
        if x.numel() == x.shape[-1]:
            largest = x.abs().max()
            scaled = x / largest
        else:  # NaN, also of a row of zeros, must not reach other rows; that of a row itself comes back at the end
            largest = torch.linalg.vector_norm(x, torch.inf, -1, keepdim=True)
            scaled = (x / largest).nan_to_num_(0.0)
        out = _product(scaled, self.packed, self.most).mul_(largest)
        return out if self.bias is None else out.add_(self.bias)


def _product(scaled: Tensor, packed: object, most: int) -> Tensor:
    """Numbers from −1 to 1, rounded to so many steps each way, times a weight that ``_packed`` made."""
    out: Tensor = _library_product()(scaled, 1 / most, most + 1, packed)
    return out


@cache
def _library_product() -> Callable[..., Tensor]:
    packet = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    function: Callable[..., Tensor] = getattr(packet, "_op", packet)  # the packet looks at each argument of each call
    return function


@cache
def available() -> bool:
    """Whether 8-bit products are there, right, and the same for a row alone as among others."""
    rows = torch.linspace(-1, 1, 5 * 64).sin().reshape(5, 64)
    weight = torch.linspace(-9, 9, 8 * 64).cos().reshape(8, 64)
    try:
        product = Int8(weight)
        together = product(rows)
        alone = torch.cat([product(row[None]) for row in rows])
    except (RuntimeError, AttributeError):  # of a build without them, or a release that has dropped them
        return False
    exact = rows @ weight.T
    return torch.equal(together, alone) and bool((together - exact).abs().max() < 0.05 * exact.abs().max())


@cache
def _saturates() -> bool:
    """Whether the sum of two products of 8 bits overflows, as on machines before VNNI; inputs have 7 bits there."""
    found = _product(torch.ones(2, 64), _packed(torch.ones(8, 64), torch.full((8,), 1 / 127)), 127)
    return not torch.allclose(found, torch.tensor(64.0), rtol=0.01)


def _packed(weight: Tensor, scales: Tensor) -> object:
    """A weight (out, in) rounded to 8 bits with a scale for each output, as the library's products want it."""
    with warnings.catch_warnings():  # torch announces that this kind of tensor will go; ``available`` sees to that
        warnings.simplefilter("ignore")
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        rounded = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rounded, None)


def _affine(weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32) -> Affine:
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    return lambda x: F.linear(x, weight, bias)


def _step(decoder: Decoder) -> Callable[[], object]:
    """A function that takes one step of writing a text."""
    store = decoder.fresh_cache(1, STEP)
    ids, starts = torch.zeros(1, 1, dtype=torch.int64), torch.full((1,), STEP // 2)

    @torch.inference_mode()
    def once() -> Tensor:
        return decoder.head(decoder.read_at(ids, starts, store, STEP))

    return once
