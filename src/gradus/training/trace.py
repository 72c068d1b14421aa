"""What flows through a model in one step, forwards and backwards: the size of every output and gradient, row by row.

Hooks look at what passes and change none of it: a traced step gives the same bits as any other. Nothing is asked of
the device before the step is over.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradus.data import Batch
from gradus.training.rows import axis_at, axis_of, largest, rows_of_packed, tensors_in
from gradus.training.state import TrainState

ENTER, LEAVE = "enter", "leave"  # what a module was given, what it gave
OUTPUTS, OPERATION, PARAMETER = "outputs", "operation", "parameter"  # what a gradient is one of
RECURRENT = ("RNN", "LSTM", "GRU")  # modules that compute with time first


@dataclass(eq=False)
class Call:
    """One call of a module: its dotted name and class, the how many-th in this pass, who called it.

    ``begun`` and ``ended`` count autograd's nodes: those that it made lie between.
    """

    name: str
    kind: str
    number: int
    parent: Call | None
    begun: int
    ended: float = math.inf
    calls: int = 0  # that it made itself


@dataclass(eq=False)
class Pass:
    """One pass of a part of the batch through the model: the rows of the batch from ``first`` on.

    ``sweep`` counts how often the whole batch was through before: an optimiser may ask for several gradients.
    """

    first: int
    rows: int
    sweep: int
    output: Tensor | None = None

    def bad_positions(self) -> list[int]:
        """Which samples of the batch, by place, have an output that isn't finite."""
        sizes = None if self.output is None else largest(self.output, 0)
        if sizes is None:
            return []
        return [self.first + row for row, size in enumerate(sizes.tolist()) if not math.isfinite(size)]


@dataclass(eq=False)
class Sight:
    """What was seen of one tensor: the largest absolute value of each of its rows, (rows,), or of all of it, (1,).

    NaN is larger than everything. ``positions`` are the rows' places in the batch; None where they aren't samples.
    """

    moment: str
    call: Call | None
    what: str  # the operation or the parameter, where it is the gradient of one
    sizes: Tensor
    within: Pass
    positions: Tensor | None = None

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What it has in common with the same sight in another step."""
        name, number = ("", 0) if self.call is None else (self.call.name, self.call.number)
        return self.moment, name, number, self.what

    def bad_positions(self) -> list[int]:
        """Which samples of the batch, by place, have a value in it that isn't finite."""
        if self.positions is None:
            return []
        return sorted(set(self.positions[~torch.isfinite(self.sizes.cpu())].tolist()))


class Trace:
    """Looks at every step within ``with Trace(state) as trace:``; ``sights`` is what it saw of the newest, in order."""

    def __init__(self, state: TrainState) -> None:
        self.state, self.model = state, state.model
        self.names = {module: name for name, module in state.model.named_modules()}
        self.probe = torch.zeros((), requires_grad=True)
        self.total = 0

    def __enter__(self) -> Self:
        self.hooks = [module.register_forward_pre_hook(self._enter, with_kwargs=True) for module in self.names]
        self.hooks += [module.register_forward_hook(self._leave) for module in self.names]
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                self.hooks.append(parameter.register_hook(partial(self._parameter, name)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hook in self.hooks:
            hook.remove()

    def begin(self, batch: Batch) -> None:
        """Forget the step before; the next one is of this batch."""
        self.total = len(batch.indices)
        self._restart()

    def bad(self) -> list[Sight]:
        """The sights that hold a value that isn't finite, in order; the device is asked once."""
        if not self.sights:
            return []
        finite = torch.stack([torch.isfinite(sight.sizes).all() for sight in self.sights]).tolist()
        return [sight for sight, fine in zip(self.sights, finite, strict=True) if not fine]

    def _restart(self) -> None:
        self.parts = self.state.parts
        self.sights: list[Sight] = []
        self.passes: list[Pass] = []
        self.calls: list[Call] = []
        self.stack: list[Call] = []
        self.counts: Counter[str] = Counter()
        self.now = Pass(0, self.total, 0)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.state.parts != self.parts:  # a try that didn't fit in the memory: it counts for nothing
            self._restart()
        if not self.stack:
            if module is not self.model:  # computed anew on the way back, to save memory: it was seen before
                return
            self._begin_pass(args, kwargs)
        name = self.names[module]
        self.counts[name] += 1
        parent = self.stack[-1] if self.stack else None
        if parent is not None:
            parent.calls += 1
        call = Call(name, type(module).__name__, self.counts[name], parent, self._nodes())
        self.stack.append(call)
        self.calls.append(call)
        for place, tensor in enumerate(tensors_in((args, kwargs))):
            self._see(ENTER, call, tensor, axis_at(module, tensor, 0, self.now.rows), only_rows=place > 0)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self.stack:
            return
        call = self.stack.pop()
        while call.name != self.names[module]:  # one that failed, and whose failure the module could do without
            call = self.stack.pop()
        call.ended = self._nodes()
        for place, tensor in enumerate(tensors_in(output)):
            self._see(LEAVE, call, tensor, axis_at(module, tensor, place, self.now.rows))
        if module is self.model and not self.stack:
            self._follow(output)

    def _begin_pass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Which rows of the batch the model is given now: its parts come one after the other, perhaps several times."""
        sweep, first = divmod(sum(each.rows for each in self.passes), max(self.total, 1))
        given = next((v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.ndim), None)
        self.now = Pass(first, self.total if given is None else len(given), sweep)
        self.passes.append(self.now)
        self.counts.clear()

    def _follow(self, output: Any) -> None:
        """Look at the gradients on their way back from the model's output, at each operation."""
        todo = []
        for tensor in tensors_in(output):
            if isinstance(tensor, Tensor):
                self.now.output = tensor.detach() if self.now.output is None else self.now.output
                if tensor.grad_fn is not None:
                    tensor.register_hook(partial(self._gradient, self.now))
                    todo.append(tensor.grad_fn)
        known = set(todo)
        while todo:
            node = todo.pop()
            following = [inner for inner, _ in node.next_functions]
            to_weights = [inner is None or _leads_to_weights(inner) for inner in following]
            node.register_hook(partial(self._operation, node.name(), node._sequence_nr(), to_weights, self.now))
            new = {inner for inner in following if inner is not None and not _is_leaf(inner)} - known
            known |= new
            todo += new

    def _gradient(self, within: Pass, gradient: Tensor) -> None:
        self._see(OUTPUTS, None, gradient, axis_of(gradient, within.rows), within=within)

    def _parameter(self, name: str, gradient: Tensor) -> None:
        self._see(PARAMETER, None, gradient, None, what=name)

    def _operation(
        self, name: str, number: int, to_weights: list[bool], within: Pass, inputs: tuple[Any, ...], outputs: Any
    ) -> None:
        """After an operation's backward: the gradients of its inputs."""
        call = self._maker(number)
        for gradient, of_weights in zip(inputs, to_weights, strict=False):
            if gradient is not None:
                axis = None if of_weights else axis_of(gradient, within.rows)
                if call is not None and call.kind in RECURRENT and gradient.shape[:1] == gradient.shape[1:2]:
                    axis = None  # (time, batch, …) or (batch, time, …)? not to be told apart
                self._see(OPERATION, call, gradient, axis, what=name, within=within)

    def _maker(self, number: int) -> Call | None:
        """The innermost call in which autograd's node of a number was made."""
        place = bisect_right(self.calls, number, key=lambda call: call.begun)
        call = self.calls[place - 1] if place else None
        while call is not None and call.ended < number:
            call = call.parent
        return call

    def _nodes(self) -> int:
        """How many nodes autograd has made: the number of one made now."""
        with torch.enable_grad():
            node = (self.probe + 0).grad_fn
        assert node is not None
        return int(node._sequence_nr())

    def _see(
        self,
        moment: str,
        call: Call | None,
        tensor: Tensor | PackedSequence,
        axis: int | None,
        *,
        what: str = "",
        within: Pass | None = None,
        only_rows: bool = False,
    ) -> None:
        within = within or self.now
        positions = None
        if isinstance(tensor, PackedSequence):
            positions = rows_of_packed(tensor) + within.first
            tensor, axis = tensor.data, 0
        elif tensor.is_sparse:
            axis = None
        elif axis is not None:
            positions = torch.arange(within.first, within.first + tensor.shape[axis])
        if positions is not None or not only_rows:
            sizes = largest(tensor, axis)
            if sizes is not None:
                self.sights.append(Sight(moment, call, what, sizes, within, positions))


def _is_leaf(node: Any) -> bool:
    return bool(node.name().endswith("AccumulateGrad"))


def _leads_to_weights(node: Any) -> bool:
    """Whether a gradient that goes there is one of a weight, or of a transposed one."""
    if node.name().startswith("TBackward"):
        return all(inner is None or _is_leaf(inner) for inner, _ in node.next_functions)
    return _is_leaf(node)
