"""Watches the backward passes: where they begin, what their graphs lead to, and what the activations in them are."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradus.doctor import graph, places
from gradus.doctor.graph import Graph
from gradus.doctor.signals import BackwardSite, Broadcast, LossSite, Place, UnitSeen
from gradus.doctor.watch.losses import Losses
from gradus.doctor.watch.optimizers import Optimizers
from gradus.doctor.watch.rows import summarise
from gradus.doctor.watch.watching import Patches, Watching, number

VALUES = 5000  # losses that are kept of a line
HAND = {"mean", "sum", "pow", "mul", "abs", "add", "neg", "div", "sqrt", "view", "squeeze", "log", "unsafeview"}
"""Operations between a loss written by hand and the difference in it."""
LEAVES = 4  # weights that are asked whether they were updated by hand
FLAT = 0.02  # of the range of a sigmoid or tanh: nearer to its end a unit is saturated


class Backward:
    """Wraps ``Tensor.backward`` and ``torch.autograd.backward``."""

    def __init__(self, watching: Watching, patches: Patches, losses: Losses, optimizers: Optimizers) -> None:
        self.watching, self.losses, self.optimizers = watching, losses, optimizers
        self.sites: dict[Place | None, BackwardSite] = {}
        self.reach: dict[Place | None, set[int]] = {}  # optimisers whose weights a line's graph led to
        self.units: dict[tuple[str, str, int], tuple[UnitSeen, Tensor | None]] = {}
        self.gone: dict[int, weakref.ref[Tensor]] = {}  # losses that have gone backward, by id
        self.made: dict[Any, tuple[str, Tensor, Tensor, Place | None]] = {}  # differences, by what made them
        self.leaves: list[Tensor] = []  # some that the graph of the backward pass before led to
        self.values: list[float] = []  # the sums of their numbers then
        self.inside = 0
        self.before, self.after = watching.quietly(self._before), watching.quietly(self._after)
        patches.replace(torch.Tensor, "backward", self._wrap)
        patches.replace(torch.autograd, "backward", self._wrap)
        patches.replace(torch.autograd, "grad", self._wrap_grad)

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if self.inside or self.watching.deaf:
                return original(tensors, *args, **kwargs)
            roots = [tensors] if isinstance(tensors, Tensor) else [t for t in tensors if isinstance(t, Tensor)]
            retain = bool(kwargs.get("retain_graph") or (len(args) > 1 and args[1]))
            self.before(roots, retain)
            self.inside += 1
            try:
                return original(tensors, *args, **kwargs)
            finally:
                self.inside -= 1
                self.after(roots)

        return backward

    def _wrap_grad(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def grad(*args: Any, **kwargs: Any) -> Any:
            if not self.watching.deaf:
                for p in self.watching.pending:
                    p.used = True
            return original(*args, **kwargs)

        return grad

    def _before(self, roots: list[Tensor], retain: bool) -> None:
        w = self.watching
        self.by_hand()
        place = places.here()
        site = self.sites.get(place)
        if site is None:
            site = self.sites[place] = BackwardSite(place)
            w.seen.backwards.append(site)
        site.calls += 1
        site.retain |= retain
        w.event("backward", place=place)
        root = roots[0] if roots else None
        if root is None or root.grad_fn is None:
            return
        self._follow(root)
        value = number(root) if root.numel() == 1 else number(root.sum())
        if len(site.values) < VALUES:
            site.values.append((w.update, value))
        broken = not math.isfinite(value) and not site.broken
        if w.closely or broken or site.calls <= 3:
            read = graph.read([t.grad_fn for t in roots])
            if not self.optimizers.held:
                self.leaves, self.values = read.leaves[:LEAVES], _values(read.leaves[:LEAVES])
            self._read(site, root, read)
            self._hand(site, root)
            if broken:
                self._broke(site, "loss", read)
            self.reach[place] = {
                seen.optimizer for leaf in read.leaves
                if (seen := w.parameters.get(id(leaf))) is not None and seen.optimizer is not None
            }  # fmt: skip
        self.optimizers.backward(place, self.reach.get(place, set()))

    def by_hand(self) -> None:
        """Where no optimiser is: weights that aren't what they were at the backward pass before were updated by hand.

        Weights that each update makes anew aren't counted: the old ones stay as they were.
        """
        w = self.watching
        if self.optimizers.held or not self.leaves:
            return
        values = _values(self.leaves)
        if values != self.values:
            self.values = values
            w.seen.by_hand += 1
            w.go_on(w.update + 1)
            w.seen.updates = w.update

    def _after(self, roots: list[Tensor]) -> None:
        w = self.watching
        for root in roots:
            self.gone[id(root)] = weakref.ref(root)
        if w.closely:
            self.gone = {key: ref for key, ref in self.gone.items() if ref() is not None}
            alive = sum(1 for ref in self.gone.values() if (t := ref()) is not None and t.requires_grad)
            kept = w.seen.kept
            if not kept.alive or kept.alive[-1][0] != w.update:
                kept.alive.append((w.update, alive))
                kept.place = places.here()

    def went(self, tensor: Tensor) -> bool:
        """Whether a tensor has gone backward, and still has its graph."""
        ref = self.gone.get(id(tensor))
        return ref is not None and ref() is tensor

    def _follow(self, root: Tensor) -> None:
        """Count the passes before it: those in evaluation mode before one in training mode weren't for training."""
        w = self.watching
        pending, w.pending = w.pending, []
        trained = {p.model for p in pending if not p.evaluating}
        w.followed = []
        for p in pending:
            model = w.seen.models[p.model]
            if p.evaluating and p.model in trained:
                if p.graph and not p.used:
                    model.not_followed += 1
                    model.not_followed_place = model.not_followed_place or p.place
                continue
            w.followed.append(p)
            model.training += 1

    def _read(self, site: BackwardSite, root: Tensor, read: Graph) -> None:
        w = self.watching
        if not site.op:
            site.op = graph.name_of(root.grad_fn)
            site.ops = [graph.name_of(node) for node in read.order[:12]]
            site.shape = tuple(root.shape)
        found = {self.losses.nodes[node] for node in read.order[:200] if node in self.losses.nodes}
        site.losses = sorted({*site.losses, *found})
        if not site.nodes or site.nodes[-1][0] != w.update:
            site.nodes.append((w.update, read.nodes))
        if len(site.softmaxes) == 0:
            site.softmaxes = [graph.op_of(n) for n in read.order if graph.name_of(n) in ("softmax", "logsoftmax")][:32]
        for broadcast in graph.broadcasts(read):
            if broadcast not in site.broadcasts:
                site.broadcasts.append(broadcast)
        for name, value in graph.risky(read):
            if value.is_floating_point():
                least = float(value.abs().min())
                site.risky[name] = min(site.risky.get(name, math.inf), least)
        values = [len(x) * math.prod(x.shape[2:]) for x in graph.normed(read)]
        if values and len(site.norm_values) < 200:
            site.norm_values.append(min(values))
        self._leaves(read)
        self._units(read)

    def _hand(self, site: BackwardSite, root: Tensor) -> None:
        """Where a loss was written by hand: the difference in it as a loss function would be told, and broadcasts."""
        queue, looked = [(root.grad_fn, "")], 0
        while queue and looked < 24:
            node, user = queue.pop(0)
            looked += 1
            if node is None:
                continue
            name = graph.name_of(node)
            found = self.made.get(node)
            if found is not None:
                kind, predicted, target, place = found
                result = graph.shape_of(node)
                sizes = {tuple(predicted.shape), tuple(target.shape)}
                if result is not None and len(sizes) == 2 and predicted.ndim != target.ndim:
                    seen = Broadcast(kind, tuple(predicted.shape), result, tuple(target.shape))
                    larger = math.prod(result) > max(predicted.numel(), target.numel())
                    if larger and seen not in site.broadcasts:
                        site.broadcasts.append(seen)
                if kind == "sub" and user in ("pow", "mul", "abs"):
                    self._difference(site, "l1_loss" if user == "abs" else "mse_loss", predicted, target, place)
                continue
            if name in HAND:
                queue += [(other, name if name in ("pow", "mul", "abs") else user) for other, _ in node.next_functions]
        self.made.clear()

    def _difference(
        self, site: BackwardSite, name: str, predicted: Tensor, target: Tensor, place: Place | None
    ) -> None:
        hand = site.hand
        if hand is None:
            hand = site.hand = LossSite(name, place, True)
            hand.shape, hand.target_shape = tuple(predicted.shape), tuple(target.shape)
            hand.producers = graph.producers(predicted)
            hand.first_targets = target.detach().reshape(-1)[:4096].float().tolist()
            hand.dtype, hand.target_dtype = str(predicted.dtype)[6:], str(target.dtype)[6:]
        hand.calls += 1
        summarise(hand.predicted, predicted)
        summarise(hand.targets, target)
        values = target.detach().reshape(-1)[:512].float()
        hand.whole_targets &= bool((values == values.round()).all())
        if hand.whole_targets and len(hand.distinct) < 64:
            hand.distinct.update(values.unique()[:64].tolist())

    def _leaves(self, read: Graph) -> None:
        """Which weights the graph leads to; those that no model registers are met here for the first time."""
        w = self.watching
        reached = {id(leaf) for leaf in read.leaves}
        for leaf in read.leaves:
            if id(leaf) not in w.parameters and isinstance(leaf, torch.nn.Parameter | Tensor) and leaf.requires_grad:
                seen = self.optimizers.parameter(leaf, kind=type(leaf).__name__)
                seen.first_place = places.here()
        for key, seen in w.parameters.items():
            seen.looks += 1
            seen.frozen += not w.tensors[key].requires_grad
            if key in reached:
                seen.reached += 1
                seen.last_reached = w.update

    def _units(self, read: Graph) -> None:
        number_of: dict[tuple[str, str], int] = {}
        for node in read.order:
            op = graph.name_of(node)
            if op not in graph.RECTIFIERS and op not in graph.FLAT:
                continue
            result = graph.saved(node, "_saved_result", "_saved_self")
            if result is None or result.ndim < 2 or len(result) < 2:
                continue
            layer = graph.layer_before(node, self.watching.names)
            count = number_of[op, layer] = number_of.get((op, layer), 0) + 1
            self._unit(op, layer, count, result)

    def _unit(self, op: str, layer: str, count: int, result: Tensor) -> None:
        if count > 4:  # of a recurrent cell the first few tell enough
            return
        key = (op, layer, count)
        unit, never = self.units.get(key, (None, None))
        if unit is None:
            unit = UnitSeen(op, layer)
            self.watching.seen.units.append(unit)
        unit.samples += 1
        unit.examples += len(result)
        if op in graph.FLAT:
            low, high = graph.FLAT[op]
            edge = FLAT * (high - low)
            share = float(((result < low + edge) | (result > high - edge)).float().mean())
            if unit.samples == 1:
                unit.saturated_first = share
            unit.saturated, unit.units = share, result.shape[1]
            self.units[key] = unit, None
            return
        axes = [0, *range(2, result.ndim)] if result.ndim != 3 else [0, 1]
        zero = (result <= 0).all(dim=axes[0]) if len(axes) == 1 else (result <= 0).flatten(0, 0).amin(axes) > 0
        if never is not None and never.shape == zero.shape:
            zero = zero & never
        unit.units, unit.never = zero.numel(), int(zero.sum())
        if unit.samples == 1:
            unit.never_first = unit.never
        self.units[key] = unit, zero

    def _broke(self, site: BackwardSite, what: str, read: Graph) -> None:
        w = self.watching
        site.broken, site.broken_at = what, w.update
        site.weights_finite = all(bool(torch.isfinite(leaf).all()) for leaf in read.leaves)
        data = [w.fed, *(w.batch if isinstance(w.batch, list | tuple) else [w.batch])]
        site.data_finite = all(bool(torch.isfinite(t).all()) for t in data if isinstance(t, Tensor))
        site.maker = graph.births(read)

    def gradient_broke(self) -> None:
        """Told by the optimisers: the loss was finite, and its gradient isn't."""
        site = max(self.watching.seen.backwards, key=lambda s: s.calls, default=None)
        if site is not None and not site.broken:
            site.broken, site.broken_at = "gradient", self.watching.update


def _values(leaves: list[Tensor]) -> list[float]:
    """What tells whether weights have changed; NaN is no change."""
    sums = [
        float(leaf.detach().sum(dtype=torch.float64)) for leaf in leaves if leaf.numel() and leaf.device.type != "meta"
    ]
    return [value if math.isfinite(value) else 0.0 for value in sums]
