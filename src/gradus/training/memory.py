"""What a step does where a batch doesn't fit in the memory: the same batch again, in more parts.

Also how a model's buffers, the running means of BatchNorm say, are put back where a step is taken back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradus.data import Batch
from gradus.errors import UserError
from gradus.training.state import TrainState

# by how else than ``torch.OutOfMemoryError`` the CPU, a driver and the kernel libraries tell that memory is short
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class Buffers:
    """The buffers of a model as they were before a step that may have to be taken back.

    A forward pass writes into them, and what it wrote can't be computed back. So they are copied beforehand, but, for
    a copy takes time, only where the step may well be taken back: ``always``, where updates are skipped, else before a
    batch of a shape that hasn't been through yet. Where a batch of a known shape doesn't fit any more, what the failed
    try wrote stays: one more update of the running means, of the same samples.
    """

    def __init__(self, model: nn.Module) -> None:
        self.places = [(module, name) for module in model.modules() for name, _ in module.named_buffers(recurse=False)]
        self._seen: set[tuple[object, ...]] = set()
        self._copies: list[tuple[nn.Module, str, Tensor, Tensor]] = []

    def keep(self, batch: Batch, parts: int, *, always: bool) -> None:
        """Before a step: copy what it may have to put back, if anything."""
        shape = (parts, *[t.shape for t in batch.all_inputs])
        if always or shape not in self._seen:
            self._seen.add(shape)
            now = [(module, name, module.get_buffer(name)) for module, name in self.places]
            self._copies = [(module, name, buffer, buffer.clone()) for module, name, buffer in now]
        else:
            self._copies = []

    @torch.no_grad()
    def put_back(self) -> None:
        for module, name, buffer, copy in self._copies:
            buffer.copy_(copy)
            setattr(module, name, buffer)  # a module may have put another tensor in its place


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error tells that memory is short."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)


def take_smaller_parts(state: TrainState, batch: Batch) -> None:
    """After a try that didn't fit: drop what it left behind, and have the batch computed in twice as many parts.

    Raises:
        UserError: where the parts can't be smaller.
    """
    device = batch.targets.device
    state.model.zero_grad()
    if device.type != "cpu":
        torch.accelerator.empty_cache()
    least = 2 if _has_batch_norm(state.model) else 1  # of one sample it can't take a variance
    samples = len(batch.indices)
    parts, most = min(state.parts, samples), max(1, samples // least)
    if parts >= most:
        few = "one sample alone doesn't" if samples <= parts else f"{-(-samples // parts)} samples at once don't"
        raise UserError(
            f"step {state.step + 1:,}: {few} fit in the memory of {device}, and there is no smaller part of a batch; "
            "take a smaller model or smaller samples, or another --device."
        )
    state.parts = min(2 * parts, most)


def told(state: TrainState, batch: Batch) -> str:
    """What a person should know of a batch that was computed in more parts than was asked for."""
    parts, size = state.parts, -(-len(batch.indices) // state.parts)
    same = f"BatchNorm sees {size} samples at a time" if _has_batch_norm(state.model) else "the gradient is the same"
    return (
        f"step {state.step + 1:,}: out of memory on {batch.targets.device}; from now on each batch is computed "
        f"in {parts} parts, here of {size} samples; {same}. --accumulate {parts} would spare the failed try."
    )


def _has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in model.modules())
