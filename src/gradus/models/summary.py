"""A model layer by layer: each part's name, kind, output shape and number of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MAX_ROWS = 16


@dataclass(frozen=True)
class Layer:
    """A part of a model: its name in it, its class, its output's shape without the batch, its parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def summary(model: nn.Module, inputs: Tensor | tuple[Tensor, ...], max_rows: int = MAX_ROWS) -> list[Layer]:
    """The parts of a model in the order in which they run, taken apart as far as ``max_rows`` allow.

    Parts that neither hold parameters nor change the shape, as an activation, are left out.

    Args:
        inputs: a batch that the model reads, (batch, …), or a tuple of such that it is called with; one forward pass
            is run, without gradients.
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, tuple) and output:  # as a recurrent layer's outputs and last memory
            output = output[0]
        if isinstance(output, Tensor):
            shapes.setdefault(module, tuple(output.shape[1:]))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(*(t[:1] for t in (inputs if isinstance(inputs, tuple) else (inputs,))))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    order = {module: place for place, module in enumerate(shapes)}
    for module in model.modules():
        ran = [child for child in module.children() if child in order]
        if ran and isinstance(module, nn.ModuleList):  # a mere list is not called itself
            shapes[module], order[module] = shapes[ran[-1]], order[ran[-1]]
    parts = [("", model)]
    rows = _rows(parts, shapes, order)
    while True:
        inner = [child for part in parts for child in _taken_apart(part, alone=len(rows) == 1)]
        more = _rows(inner, shapes, order)
        if inner == parts or len(more) > max_rows:
            return rows
        parts, rows = inner, more


def _taken_apart(part: tuple[str, nn.Module], alone: bool) -> list[tuple[str, nn.Module]]:
    """The parts of a mere container, and of a part that is the only one; any other stays whole."""
    name, module = part
    children = list(module.named_children())
    if not children or not (alone or isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)):
        return [part]
    if next(module.parameters(recurse=False), None) is not None:  # it holds weights that no child shows
        return [part]
    return [(f"{name}.{child}".lstrip("."), inner) for child, inner in children]


def _rows(
    parts: list[tuple[str, nn.Module]], shapes: dict[nn.Module, tuple[int, ...]], order: dict[nn.Module, int]
) -> list[Layer]:
    """The parts that ran, in order, without those that do nothing to be seen."""
    ran = sorted((p for p in parts if p[1] in shapes), key=lambda p: order[p[1]])
    rows: list[Layer] = []
    seen: set[nn.Parameter] = set()
    for name, module in ran:
        own = set(module.parameters()) - seen  # weights that two parts share are the first one's
        seen |= own
        parameters = sum(p.numel() for p in own)
        if parameters or not rows or rows[-1].shape != shapes[module]:
            rows.append(Layer(name or "model", type(module).__name__, shapes[module], parameters))
    return rows
