"""What all observers share: the signals, the count of updates, which steps are looked at closely, and the names."""

from __future__ import annotations

import functools
import os
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from gradus.doctor.signals import Check, Event, ParameterSeen, Place, Signals

P = ParamSpec("P")
R = TypeVar("R")
CLOSELY = {0, 1, 2, 5, 10, 20}  # updates before the steps that are looked at closely, and then every 50th
EVERY = 50
EVENTS = 2000


@dataclass
class Pass:
    """A training pass that no backward pass has followed yet."""

    model: int
    off: bool  # every stochastic module in evaluation mode
    evaluating: bool  # the model itself is in evaluation mode
    place: Place | None
    used: bool = False  # gradients were asked of it by torch.autograd.grad
    graph: bool = True  # its output wants a gradient


@dataclass
class Watching:
    """The state of an observation."""

    seen: Signals = field(default_factory=Signals)
    update: int = 0  # of the optimiser that has made most
    closely: bool = True  # whether the step that is under way is looked at closely
    busy: int = 0  # above 0 the observers are deaf: they use torch themselves
    paused: bool = False
    begun: float = field(default_factory=time.perf_counter)
    loader: int | None = None  # that gave the newest batch
    batch: Any = None  # that it gave
    source: str = ""  # of the newest pass
    check: Check | None = None  # that the newest pass belongs to
    given: Tensor | None = None  # to the newest pass with gradient
    pending: list[Pass] = field(default_factory=list)
    followed: list[Pass] = field(default_factory=list)  # by the newest backward pass
    fed: Tensor | None = None  # to the newest pass with gradient, until the next update
    names: dict[int, str] = field(default_factory=dict)  # of parameters
    parameters: dict[int, ParameterSeen] = field(default_factory=dict)
    tensors: dict[int, Tensor] = field(default_factory=dict)  # parameters by id: so that ids stay theirs

    @property
    def deaf(self) -> bool:
        return self.busy > 0 or self.paused or (self.seen.compiled and torch.compiler.is_compiling())

    def go_on(self, update: int) -> None:
        """So many updates have been made: is the step that begins looked at closely?"""
        self.update = update
        self.closely = update in CLOSELY or update % EVERY == 0

    @property
    def noting(self) -> bool:
        """Whether events are still kept."""
        return len(self.seen.events) < EVENTS

    def event(self, kind: str, index: int = 0, place: Place | None = None) -> None:
        if self.noting:
            self.seen.events.append(Event(kind, index, self.update, place))

    @contextmanager
    def deafly(self) -> Any:
        """Within it the observers hear nothing."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    def quietly(self, function: Callable[P, R]) -> Callable[P, R | None]:
        """An observer whose own faults don't stop the program that it watches; they are told at the end."""

        @functools.wraps(function)
        def observe(*args: P.args, **kwargs: P.kwargs) -> R | None:
            if self.deaf:
                return None
            self.busy += 1
            gradient = torch.is_grad_enabled()
            torch._C._set_grad_enabled(False)  # as torch.no_grad(), at a tenth of its cost
            try:
                return function(*args, **kwargs)
            except Exception:
                if os.environ.get("GRADUS_DOCTOR_STRICT"):
                    raise
                if len(self.seen.troubles) < 3:
                    self.seen.troubles.append(traceback.format_exc(limit=-3, chain=False))
                return None
            finally:
                torch._C._set_grad_enabled(gradient)
                self.busy -= 1

        return observe


class Patches:
    """Attributes that are replaced while a program is watched, and put back after."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []
        self._removers: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, made: Callable[[Any], Any]) -> None:
        """Put ``made(what was there)`` in the place of an attribute; nothing where there is none."""
        before = owner.__dict__.get(name) if isinstance(owner, type) else getattr(owner, name, None)
        if before is None:
            return
        self._before.append((owner, name, before))
        setattr(owner, name, made(before))

    def on_removal(self, remove: Callable[[], None]) -> None:
        self._removers.append(remove)

    def remove(self) -> None:
        for owner, name, before in reversed(self._before):
            setattr(owner, name, before)
        for remove in self._removers:
            remove()
        self._before.clear()
        self._removers.clear()


def before_call(original: Callable[..., Any], note: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is told of its calls before they are made."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        note(*args, **kwargs)
        return original(*args, **kwargs)

    return call


def after_call(original: Callable[..., Any], note: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is told of its calls when they have ended."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        note(*args, **kwargs)
        return result

    return call


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor among arguments, or in the lists and dicts among them."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, dict) or hasattr(values, "keys"):
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            found = first_tensor(value)
            if found is not None:
                return found
    return None


def number(tensor: Tensor) -> float:
    """A tensor of one number, as one."""
    return float(tensor.detach())
