"""Listens to functions of torch, in the first steps only: where values leave autograd, where used losses are kept."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradus.doctor import graph, places
from gradus.doctor.signals import Cut, Place
from gradus.doctor.watch.watching import Watching

STEPS = 3  # updates in which it listens
LED = 3  # times that it is asked which weights a value came from that leaves autograd in one line
LEAVING = {
    "detach", "detach_", "numpy", "__get__", "tensor", "as_tensor", "__array__", "item", "tolist", "argmax",
    "bernoulli", "multinomial", "long", "int", "gt", "ge", "lt", "le", "__gt__", "__ge__", "__lt__", "__le__",
}  # fmt: skip
ADDING = {"add", "add_", "__add__", "__radd__", "__iadd__", "sum", "stack", "cat", "mean"}
SCALING = {"mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide"}  # a loss times a number is still one
DIFFERING = {"sub", "__sub__", "__rsub__", "rsub", "mul", "__mul__", "__rmul__"}
MADE = 64  # differences of a prediction and something without gradient that are remembered


class Functions:
    """Enters a mode of torch from the first pass with gradient to the third update."""

    def __init__(self, watching: Watching) -> None:
        self.watching = watching
        self.mode: _Listen | None = None
        self.cuts: dict[tuple[str, Place | None], Cut] = {}
        self.went: Any = lambda tensor: False  # whether a loss has gone backward; set by those who know
        self.stack: list[Any] = []  # modules that are being called; those who know put theirs here
        self.gone: Any = dict  # losses that have gone backward, by id; set by those who know
        self.totals: dict[int, _Total] = {}  # sums of losses, by id
        self.scaled: dict[int, tuple[weakref.ref[Tensor], weakref.ref[Tensor]]] = {}  # scaled losses, and of what
        self.made: dict[Any, tuple[str, Tensor, Tensor, Place | None]] = {}  # differences, by what made them

    def listen(self) -> None:
        """A pass with gradient begins."""
        if self.watching.update >= STEPS or self.watching.seen.compiled:
            self.stop()
        elif self.mode is None:
            self.mode = _Listen(self)
            self.mode.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """No longer, for the program's own arithmetic may go other ways while a mode is on."""
        if self.mode is not None and torch.overrides._get_current_function_mode() is self.mode:
            self.mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.mode = None

    def heard(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        w = self.watching
        if name in DIFFERING:
            self._differs(name, args, result)
        if name in SCALING:
            self._scales(args, result)
            return
        if name in DIFFERING:
            return
        if name in ADDING:
            self._sums(args, result)
            first = args[0] if args and isinstance(args[0], list | tuple) else args
            if isinstance(result, Tensor) and result.requires_grad and any(self.went(a) for a in first):
                w.seen.kept.added += 1
                w.seen.kept.added_place = w.seen.kept.added_place or places.here()
            return
        tensor = args[0] if args else None
        if not isinstance(tensor, Tensor) or not tensor.requires_grad or (tensor.is_leaf and not self.stack):
            return
        place = places.here()
        if place is None:
            return
        cut = self.cuts.get((name, place))
        if cut is None:
            module = type(self.stack[-1]).__name__ if self.stack else ""
            cut = self.cuts[name, place] = Cut("data" if name == "__get__" else name, place, module)
            w.seen.cuts.append(cut)
        cut.times += 1
        cut.after_loss += tensor.numel() == 1
        if cut.times <= LED and (tensor.numel() > 1 or cut.module):
            number = w.seen.cuts.index(cut)
            for leaf in [tensor] if tensor.is_leaf else graph.read([tensor.grad_fn]).leaves:
                known = w.parameters.get(id(leaf))
                if known is not None and number not in known.cuts:
                    known.cuts.append(number)

    def _differs(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Remember a difference (a product only if it came out larger) of what has gradient and what has none."""
        sides = [a for a in args[:2] if isinstance(a, Tensor)]
        if len(sides) != 2 or not isinstance(result, Tensor) or result.grad_fn is None or not result.numel():
            return
        predicted, target = sides if sides[0].requires_grad else sides[::-1]
        if not predicted.requires_grad or target.requires_grad or predicted.is_leaf:
            return
        kind = "mul" if "mul" in name else "sub"
        larger = result.numel() > max(predicted.numel(), target.numel())
        if kind == "mul" and (not larger or target.ndim == predicted.ndim):
            return
        _remember(self.made, result.grad_fn, (kind, predicted, target, places.here()))

    def _scales(self, args: tuple[Any, ...], result: Any) -> None:
        """Remember of which loss, or sum of losses, a result is a multiple."""
        loss = next((a for a in args[:2] if isinstance(a, Tensor) and a.numel() == 1 and a.grad_fn is not None), None)
        if loss is not None and isinstance(result, Tensor) and result.numel() == 1:
            _remember(self.scaled, id(result), (weakref.ref(result), self._source(loss)))

    def _source(self, tensor: Tensor) -> weakref.ref[Tensor]:
        found = self.scaled.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else weakref.ref(tensor)

    def _sums(self, args: tuple[Any, ...], result: Any) -> None:
        """Note where a sum of losses grows from update to update although they have gone backward."""
        if not isinstance(result, Tensor) or result.numel() != 1 or result.grad_fn is None:
            return
        w, gone, grown = self.watching, list(self.gone().values()), False
        losses: list[weakref.ref[Tensor]] = []
        used = False
        for side in args[:2]:
            if not isinstance(side, Tensor) or side.numel() != 1 or side.grad_fn is None:
                continue
            source = self._source(side)
            known = (self.totals.get(id(side)), self.totals.get(id(source())))
            total = next((t for t in known if _is(t, side, source)), None)
            if total is None:
                losses.append(source)
                continue
            was_used = total.used or any(ref is other for ref in total.losses for other in gone)
            grown |= was_used and total.update < w.update
            used |= was_used
            losses += total.losses[-8:]
        used |= any(ref is other for ref in losses for other in gone)
        if grown:
            w.seen.kept.grown += 1
            w.seen.kept.grown_place = w.seen.kept.grown_place or places.here()
        _remember(self.totals, id(result), _Total(weakref.ref(result), w.update, losses, used))


@dataclass
class _Total:
    """A sum of losses: when it was made, of which, and whether one of them has gone backward."""

    ref: weakref.ref[Tensor]
    update: int
    losses: list[weakref.ref[Tensor]]
    used: bool


def _is(total: _Total | None, tensor: Tensor, source: weakref.ref[Tensor]) -> bool:
    return total is not None and total.ref() is not None and (total.ref() is tensor or total.ref() is source())


def _remember(store: dict[Any, Any], key: Any, value: Any) -> None:
    """Put into a dict that holds the newest few."""
    store.pop(key, None)
    while len(store) >= MADE:
        store.pop(next(iter(store)))
    store[key] = value


class _Listen(TorchFunctionMode):
    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self.functions = functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        w = self.functions.watching
        if (name in LEAVING or name in ADDING or name in SCALING or name in DIFFERING) and not w.deaf:
            if name == "__get__" and getattr(func, "__self__", None) is not Tensor.data:  # other attributes
                return result
            w.quietly(self.functions.heard)(name, args, result)
        return result
