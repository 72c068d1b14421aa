"""Reading what autograd wrote down: which operations made a tensor, of which shapes, from which weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gradus.doctor.signals import Broadcast, Op, Shape

FORM = {
    "view", "unsafeview", "reshapealias", "squeeze", "unsqueeze", "tocopy", "transpose", "t", "permute", "clone",
    "contiguous", "alias", "expand", "asstrided", "select", "slice", "index", "cat", "stack", "clamp", "clampmin",
    "clampmax", "float", "gather", "reshape", "flatten", "movedim", "swapaxes", "copyslices", "where",
}  # fmt: skip
"""Operations that change a tensor's form, or cut its ends, but not what its numbers mean."""
SCALARS = {"add", "sub", "mul", "div"}  # with a plain number these change nothing of it either
RECTIFIERS = {"relu", "thresholdbackward", "threshold", "hardtanh", "relu6"}
FLAT = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
WEIGHTED = {"addmm", "mm", "convolution", "bmm", "mkldnnconvolution", "addbmm", "baddbmm", "matmul", "linear"}
MOST = 20_000  # operations that are read of a graph


def name_of(node: Any) -> str:
    """``softmax`` of SoftmaxBackward0."""
    name: str = node.name()
    head = name.rpartition("::")[2].rstrip("0123456789")
    return head.removesuffix("Backward").replace("_", "").lower() or head.lower()


def shape_of(node: Any, output: int = 0) -> Shape | None:
    """The shape of what an operation gave."""
    variable = getattr(node, "variable", None)
    if variable is not None:
        return tuple(variable.shape)
    told = getattr(node, "_input_metadata", None)
    return tuple(told[output].shape) if told and output < len(told) else None


def op_of(node: Any) -> Op:
    """An operation as it is kept."""
    dim = getattr(node, "_saved_dim", None)
    if isinstance(dim, int) and dim >= 1 << 31:  # unsigned in autograd's record
        dim -= 1 << 64
    sides = [n for n, _ in node.next_functions]
    shape = shape_of(node)
    scalar = name_of(node) in SCALARS and sum(n is not None for n in sides) == 1
    return Op(name_of(node), shape, dim if isinstance(dim, int) else None, scalar)


def producers(tensor: Tensor, most: int = 6) -> list[Op]:
    """The operations that made a tensor, the nearest first, along the way of its numbers; changes of form left out."""
    found: list[Op] = []
    node: Any = tensor.grad_fn
    for _ in range(64):
        if node is None or len(found) == most:
            break
        name = name_of(node)
        if name == "accumulategrad":
            break
        sides = [n for n, _ in node.next_functions if n is not None]
        if name not in FORM:
            found.append(op_of(node))
            if len(sides) > 1 and name not in WEIGHTED:
                break
        if name in WEIGHTED:
            break
        node = sides[0] if sides else None
    return found


@dataclass
class Graph:
    """What was read of a graph; the tensors and nodes in it live only as long as it does."""

    nodes: int = 0
    leaves: list[Tensor] = field(default_factory=list)
    ops: Counter[str] = field(default_factory=Counter)
    order: list[Any] = field(default_factory=list)  # nodes, from the loss backward
    users: dict[Any, list[Any]] = field(default_factory=dict)
    whole: bool = True


def read(roots: list[Any]) -> Graph:
    """Walk a graph from some nodes, breadth first."""
    graph, known = Graph(), set()
    queue = [node for node in roots if node is not None]
    known.update(queue)
    for node in queue:
        if graph.nodes >= MOST:
            graph.whole = False
            break
        graph.nodes += 1
        graph.order.append(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            graph.leaves.append(variable)
            continue
        graph.ops[name_of(node)] += 1
        for other, _ in node.next_functions:
            if other is not None:
                graph.users.setdefault(other, []).append(node)
                if other not in known:
                    known.add(other)
                    queue.append(other)
    return graph


def broadcasts(graph: Graph) -> Iterator[Broadcast]:
    """Differences of a prediction and a target that came out larger than the prediction: (N, 1) − (N,) = (N, N)."""
    for node in graph.order:
        if name_of(node) not in ("sub", "rsub", "mseloss", "l1loss", "smoothl1loss", "huberloss"):
            continue
        result = shape_of(node)
        sides = [(other, number) for other, number in node.next_functions if other is not None]
        if result is None or len(sides) != 1 or len(result) < 2:
            continue
        other, number = sides[0]
        side = shape_of(other, number)
        if name_of(other) == "expand" and other.next_functions and other.next_functions[0][0] is not None:
            side = shape_of(*other.next_functions[0])
        if side is None or _size(result) <= _size(side) or _size(side) == 1:
            continue
        rows = side[0]
        if rows > 1 and result[0] == rows and result[-1] == rows:
            yield Broadcast(name_of(node), side, result)


def layer_before(node: Any, names: dict[int, str]) -> str:
    """The name of the layer that feeds an operation: the owner of the nearest weights below it."""
    queue, known = [n for n, _ in node.next_functions if n is not None], set[Any]()
    for other in queue:
        variable = getattr(other, "variable", None)
        if variable is not None and id(variable) in names:
            return names[id(variable)].rpartition(".")[0] or names[id(variable)]
        if len(known) > 40:
            break
        for below, _ in other.next_functions:
            if below is not None and below not in known:
                known.add(below)
                queue.append(below)
    return ""


def normed(graph: Graph) -> Iterator[Tensor]:
    """What went into batch norms that were in training mode."""
    for node in graph.order:
        if name_of(node) in ("nativebatchnorm", "cudnnbatchnorm", "miopenbatchnorm"):
            given = saved(node, "_saved_input")
            if given is not None and given.ndim > 1 and getattr(node, "_saved_training", True):
                yield given


def saved(node: Any, *names: str) -> Tensor | None:
    """A tensor that an operation saved, where it is still there."""
    for name in names:
        try:
            value = getattr(node, name, None)
        except RuntimeError:  # freed by a backward pass
            return None
        if isinstance(value, Tensor):
            return value
    return None


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


RISKY = {
    "log": ("_saved_self",), "log2": ("_saved_self",), "log10": ("_saved_self",), "sqrt": ("_saved_result",),
    "rsqrt": ("_saved_result",), "div": ("_saved_other",), "reciprocal": ("_saved_result",), "pow": ("_saved_self",),
    "exp": ("_saved_result",), "linalgvectornorm": ("_saved_result",), "norm": ("_saved_result",),
    "acos": ("_saved_self",), "asin": ("_saved_self",), "log1p": ("_saved_self",), "std": ("_saved_result",),
}  # fmt: skip
"""Operations that aren't defined everywhere, or whose gradient isn't, and what they saved of their numbers."""


def risky(graph: Graph) -> Iterator[tuple[str, Tensor]]:
    """The operations of a graph that may give what isn't finite, with what they saved."""
    for node in graph.order:
        name = name_of(node)
        if name in RISKY:
            value = saved(node, *RISKY[name])
            if value is not None and value.numel():
                yield name, value


def births(graph: Graph) -> str:
    """The operation that first made what isn't finite of finite numbers, from what was saved; '' where none is sure."""
    for node in reversed(graph.order):  # from the weights towards the loss, roughly
        name = name_of(node)
        value = saved(node, *RISKY.get(name, ()))
        if value is None or not value.is_floating_point():
            continue
        with torch.no_grad():
            finite = bool(torch.isfinite(value).all())
            if name in ("log", "log2", "log10") and finite and bool((value <= 0).any()):
                return name
            if name == "div" and finite and bool((value == 0).any()):
                return name
            if name == "exp" and bool(value.isinf().any()) and not bool(value.isnan().any()):
                return name
            if name in ("sqrt", "acos", "asin") and bool(value.isnan().any()):
                below = node.next_functions[0][0] if node.next_functions else None
                given = saved(below, "_saved_result") if below is not None else None
                if given is None or bool(torch.isfinite(given).all()):
                    return name
    return ""
