"""Watches optimisers: the order of clearing, backward and update, and what an update does to the weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)  # fmt: skip

from gradus.doctor import places
from gradus.doctor.signals import OptimizerSeen, ParameterSeen, Place
from gradus.doctor.watch.watching import Pass, Patches, Watching, after_call, before_call

RATES = 2000
LARGEST = 50_000_000  # weights whose change is measured: a copy of them is made for it
SPREAD = 1_000_000  # numbers of a weight whose rows are compared


@dataclass
class _State:
    """Where an optimiser stands between clearing, backward and update."""

    weights: list[Tensor]
    fresh: Counter[Place | None] = field(
        default_factory=Counter
    )  # backward passes since gradients were cleared or used
    used: bool = False  # an update has used the gradients that are there
    thrown: Counter[Place | None] = field(default_factory=Counter)  # passes of a line, cleared before any update
    dirty: bool = False  # gradients were added to those that an update had used
    at: int = 0  # updates of all optimisers before the newest backward pass
    scaled: bool = False
    models: set[int | None] = field(default_factory=set)  # that its weights belong to
    before: list[Tensor] = field(default_factory=list)  # weights before an update that is looked at


class Optimizers:
    """Hooks on every optimiser, and wraps around what clears gradients."""

    def __init__(self, watching: Watching, patches: Patches) -> None:
        self.watching = watching
        self.states: list[_State] = []
        self.index: dict[int, int] = {}  # of an optimiser, by id; it is held so that ids stay theirs
        self.held: list[Optimizer] = []
        self.updates = 0  # of all optimisers together
        self.broke: Callable[[], None] = lambda: None  # is told of a gradient that isn't finite
        pre, post = watching.quietly(self._before), watching.quietly(self._after)
        patches.on_removal(register_optimizer_step_pre_hook(lambda o, a, k: pre(o)).remove)
        patches.on_removal(register_optimizer_step_post_hook(lambda o, a, k: post(o)).remove)
        made = watching.quietly(self.know)
        patches.replace(Optimizer, "__init__", lambda f: after_call(f, lambda me, *a, **k: made(me)))
        zero = watching.quietly(self._zero)
        patches.replace(Optimizer, "zero_grad", lambda f: before_call(f, lambda me, *a, **k: zero([me])))
        zero_model = watching.quietly(self._zero_model)
        patches.replace(nn.Module, "zero_grad", lambda f: before_call(f, lambda me, *a, **k: zero_model(me)))

    # what is known of an optimiser

    def know(self, optimizer: Optimizer) -> int:
        """The index of an optimiser; met for the first time, it is written down."""
        found = self.index.get(id(optimizer))
        if found is not None:
            return found
        w, groups = self.watching, getattr(optimizer, "param_groups", [])
        if not groups:
            return -1
        number, first = len(self.states), groups[0]
        self.index[id(optimizer)] = number
        self.held.append(optimizer)
        weights = [p for group in groups for p in group["params"] if isinstance(p, Tensor)]
        betas = first.get("betas")
        seen = OptimizerSeen(
            kind=type(optimizer).__name__, groups=len(groups), weights=sum(p.numel() for p in weights),
            lr=float(first.get("lr", 0.0)), momentum=float(first.get("momentum", betas[0] if betas else 0.0) or 0.0),
            weight_decay=float(first.get("weight_decay", 0.0) or 0.0), made=places.here(),
            decoupled=type(optimizer).__name__ == "AdamW" or bool(first.get("decoupled_weight_decay")),
        )  # fmt: skip
        w.seen.optimizers.append(seen)
        self.states.append(_State(weights))
        for weight in weights:
            known = self.parameter(weight)
            known.optimizer = number
        return number

    def parameter(self, weight: Tensor, name: str = "", kind: str = "", model: int | None = None) -> ParameterSeen:
        """What is kept of a weight; met for the first time, its beginning is measured."""
        w = self.watching
        seen = w.parameters.get(id(weight))
        if seen is None:
            values = weight.detach()
            seen = ParameterSeen(name or f"a tensor of shape {tuple(weight.shape)}", tuple(weight.shape), kind, model)
            seen.requires_grad = weight.requires_grad
            _begin(seen, values)
            w.parameters[id(weight)], w.tensors[id(weight)] = seen, weight
            w.seen.parameters.append(seen)
        if name and seen.model is None:
            seen.name, seen.kind, seen.model = name, kind, model
        return seen

    # clearing, backward, update

    def backward(self, place: Place | None, reach: set[int]) -> None:
        """A backward pass begins in a line whose graph leads to the weights of some optimisers."""
        for number, state in enumerate(self.states):
            if number not in reach:
                continue
            if (state.used or state.dirty) and not (state.used and state.fresh):
                with_gradient = [p for p in state.weights if p.grad is not None]  # of dead units the first are all 0
                state.dirty = any(nonzero(p) for p in (*with_gradient[-2:], *with_gradient[:2]))
            state.fresh[place] += 1
            state.used, state.at = False, self.updates

    def _zero(self, optimizers: list[Optimizer]) -> None:
        place = places.here() if self.watching.noting or self.watching.closely else None
        for optimizer in optimizers:
            number = self.know(optimizer)
            if number < 0:
                continue
            state, seen = self.states[number], self.watching.seen.optimizers[number]
            self.watching.event("zero", number, place)
            seen.zeroed += 1
            seen.zero_place = seen.zero_place or place
            if state.at == self.updates:  # else another optimiser has used what that backward pass gave
                state.thrown.update(state.fresh)
            state.fresh.clear()
            state.used = state.dirty = False

    def _zero_model(self, model: nn.Module) -> None:
        ids = {id(p) for p in model.parameters()}
        self._zero([o for o, s in zip(self.held, self.states, strict=True) if any(id(p) in ids for p in s.weights)])

    def _before(self, optimizer: Optimizer) -> None:
        w = self.watching
        number = self.know(optimizer)
        state, seen = self.states[number], w.seen.optimizers[number]
        if seen.place is None or w.noting:
            place = places.here()
            w.event("step", number, place)
            seen.place = seen.place or place
        groups = optimizer.param_groups
        if w.closely or sum(len(group["params"]) for group in groups) != len(state.weights):
            for weight in (p for group in groups for p in group["params"]):
                if id(weight) not in w.parameters or w.parameters[id(weight)].optimizer is None:
                    self.parameter(weight).optimizer = number
                    state.weights.append(weight)
        rate = float(optimizer.param_groups[0].get("lr", 0.0))
        if (not seen.rates or seen.rates[-1][1] != rate) and len(seen.rates) < RATES:
            seen.rates.append((seen.steps, rate))
        seen.thrown += sum(times for line, times in state.thrown.items() if line in state.fresh)
        seen.cleared += bool(state.thrown) and not state.fresh
        if state.fresh and len(seen.accumulated) < 200:
            line, times = state.fresh.most_common(1)[0]
            seen.accumulated.append(times)
            seen.line = line
        if (seen.steps < 20 or w.closely) and seen.kind != "LBFGS":  # which computes its gradient in its step
            gradients = [p.grad for p in state.weights if p.grad is not None]
            seen.empty += not any(bool(g.coalesce().values().any() if g.is_sparse else g.any()) for g in gradients)
        probe = next((p.grad for p in state.weights if p.grad is not None and not p.grad.is_sparse), None)
        if probe is not None and not math.isfinite(float(probe.sum())):
            self.broke()
        self._modes(state)
        if w.closely:
            self._measure(state, seen)

    def _modes(self, state: _State) -> None:
        """In which mode the models were whose weights are about to be updated."""
        w = self.watching
        w.fed = None
        if not state.models or w.closely:
            state.models = {self.parameter(p).model for p in state.weights}
        passes: dict[int, list[Pass]] = {}
        for each in w.followed:
            if each.model in state.models:
                passes.setdefault(each.model, []).append(each)
        for number, own in passes.items():
            model = w.seen.models[number]
            if all(p.off and p.evaluating for p in own):
                model.updates_off += 1
                model.updates_off_place = model.updates_off_place or own[0].place
            else:
                model.updates_on += 1
        w.followed = []

    def _measure(self, state: _State, seen: OptimizerSeen) -> None:
        for weight in state.weights:
            known = self.parameter(weight)
            if seen.steps == 0:  # it may have been initialised after the optimiser was made
                _begin(known, weight.detach())
            known.before_update += 1
            if weight.grad is None:
                continue
            gradient = weight.grad.coalesce().values() if weight.grad.is_sparse else weight.grad
            norm = float(gradient.float().norm()) if gradient.numel() else 0.0
            known.with_gradient += norm != 0.0
            known.gradients.append((seen.steps, norm))
            known.norms.append((seen.steps, float(weight.detach().float().norm())))
            if weight.ndim > 1 and len(weight) > 1 and weight.numel() <= SPREAD:
                known.spreads.append((seen.steps, _spread(weight)))
        if sum(p.numel() for p in state.weights) <= LARGEST:
            state.before = [p.detach().clone() for p in state.weights]

    def _after(self, optimizer: Optimizer) -> None:
        w = self.watching
        number = self.know(optimizer)
        state, seen = self.states[number], w.seen.optimizers[number]
        if state.before:
            for weight, before in zip(state.weights, state.before, strict=False):
                size = float(before.float().norm())
                change = float((weight.detach() - before).float().norm())
                self.parameter(weight).changes.append((seen.steps, change / size if size else math.inf))
            state.before = []
        seen.steps += 1
        seen.stale += state.dirty
        self.updates += 1
        state.fresh.clear()
        state.thrown.clear()
        state.used, state.dirty = True, False
        w.go_on(max(w.update, seen.steps))
        w.seen.updates = w.update


def _begin(seen: ParameterSeen, values: Tensor) -> None:
    """Measure a weight before its first update."""
    if values.numel() and values.is_floating_point() and values.device.type != "meta":
        seen.start_std = float(values.float().std(correction=0)) if values.numel() > 1 else 0.0
        seen.start_norm = float(values.float().norm())
        low, high = torch.aminmax(values)
        seen.constant = values.numel() > 1 and bool(low == high)
        seen.zero = seen.constant and bool(low == 0)
        seen.fan_in = values[0].numel() if values.ndim > 1 else 0


def _spread(weight: Tensor) -> float:
    """How far the rows of a weight, one for each unit, are from their mean, as a share of its size; 0 of zeros."""
    rows = weight.detach().float().flatten(1)
    size = float(rows.norm())
    return float((rows - rows.mean(0)).norm()) / size if size else 0.0


def nonzero(weight: Tensor) -> bool:
    """Whether a weight has a gradient that isn't 0 everywhere."""
    gradient = weight.grad
    if gradient is None:
        return False
    return bool((gradient.coalesce().values() if gradient.is_sparse else gradient).any())
