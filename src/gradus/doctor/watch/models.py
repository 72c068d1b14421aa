"""Watches modules as they are called: the outermost, their modes and their rows; and those that are never called.

One class, and so one file: the wrap around a call, what the outermost call tells, and what is known only at the end
share the same stack and the same tables of models. What else a call can tell goes into ``_begin`` or ``_end``.
"""

from __future__ import annotations

import copy
import functools
import linecache
import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from gradus.doctor import graph, places
from gradus.doctor.signals import Check, Load, ModelSeen, Rows
from gradus.doctor.watch import losses, probes, rows
from gradus.doctor.watch.functions import STEPS as LISTENED
from gradus.doctor.watch.functions import Functions
from gradus.doctor.watch.losses import Losses
from gradus.doctor.watch.optimizers import Optimizers
from gradus.doctor.watch.replicas import Replicas
from gradus.doctor.watch.watching import Pass, Patches, Watching, first_tensor

CHECKS = 5000  # evaluations that are kept
BATCHES = 400  # of a group of passes whose rows are signed
PAIRED = 300  # updates in which batches are kept for the experiments at the end
NORMS = (nn.modules.batchnorm._BatchNorm,)
DROPOUT = (nn.modules.dropout._DropoutNd,)
READERS = (nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, nn.modules.conv._ConvNd, nn.Embedding, nn.EmbeddingBag,
           nn.MultiheadAttention, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # fmt: skip


class Models:
    """Wraps the call of every module: at a fifth of what hooks of torch cost, which take its slower way."""

    def __init__(
        self, watching: Watching, patches: Patches, losses: Losses, optimizers: Optimizers, functions: Functions
    ) -> None:
        self.watching, self.losses, self.optimizers, self.functions = watching, losses, optimizers, functions
        self.replicas = Replicas(watching, patches)
        self.stack: list[nn.Module] = []
        functions.stack = self.stack
        self.index: dict[int, int] = {}  # of a model, by id
        self.roots: list[nn.Module] = []  # held, so that ids stay theirs
        self.sources: dict[tuple[int | None, tuple[tuple[str, int], ...]], str] = {}
        self.fed_by_models: set[int] = set()  # models whose inputs other models compute
        self.called: set[int] = set()  # modules with weights that a pass has called
        self.chance: dict[int, list[nn.Module]] = {}  # stochastic modules of a model
        self.groups: dict[tuple[bool, str, int], Rows] = {}
        self.newest: dict[tuple[bool, str, int], set[int]] = {}
        self.checks: dict[tuple[str, int], Check] = {}
        self.first: dict[int, tuple[tuple[Any, ...], dict[str, Any], Any]] = {}  # input and output of a first pass
        self.loaded: dict[int, weakref.ref[Tensor]] = {}  # weights that load_state_dict filled
        self.unfinished: tuple[Check, Any, Any] | None = None  # a check whose predictions nothing has judged yet
        self.entering = False  # whether a training pass has begun whose first layer hasn't been called yet
        self.begin, self.finish_pass = watching.quietly(self._begin), watching.quietly(self._end)
        self.enter_first = watching.quietly(self._enter_first)
        patches.replace(nn.Module, "__call__", self._wrap)
        load = watching.quietly(self._load)
        patches.replace(nn.Module, "load_state_dict", lambda f: _after(f, load))

    # around a call: as short as can be, for it runs at each call of each module

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        w, stack, called = self.watching, self.stack, self.called

        @functools.wraps(original)
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if w.busy or w.paused or (w.seen.compiled and torch.compiler.is_compiling()):
                return original(module, *args, **kwargs)
            called.add(id(module))
            if stack and not w.closely and w.update >= LISTENED:  # a part, at which nobody looks now
                return original(module, *args, **kwargs)
            self._enter(module, args)
            output = None
            try:
                output = original(module, *args, **kwargs)
                return output
            finally:
                self._leave(module, args, kwargs, output)

        return call

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        w = self.watching
        self.stack.append(module)
        if len(self.stack) == 1 and not isinstance(module, _Loss):
            self.begin(module, args, torch.is_grad_enabled())  # asked here: an observer itself wants no gradient
        elif w.closely and module._parameters:
            self._executed(module, torch.is_grad_enabled())
        if self.entering and isinstance(module, READERS):
            self.enter_first(module, args)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """The call has ended; without an output where it failed."""
        self.stack.pop()
        if not self.stack and not isinstance(module, _Loss):
            self.finish_pass(module, args, kwargs, output)

    def _executed(self, module: nn.Module, gradient: bool) -> None:
        root = self.stack[0]
        model = self.index.get(id(root))
        for name, weight in module._parameters.items():
            if weight is None:
                continue
            seen = self.watching.parameters.get(id(weight))
            if seen is None:
                with self.watching.deafly():
                    kind = type(module).__name__
                    seen = self.optimizers.parameter(weight, f"{kind}.{name} in {type(root).__name__}", kind)
                    seen.model = None
                seen.first_place = places.here()
                for path, other in root.named_parameters():  # it may have been registered after the first call
                    if other is weight:
                        seen.name, seen.model = path, model
            if gradient:
                seen.executed += 1
            elif self.watching.parameters and model is not None and self.inside_training:
                seen.executed_without_gradient += 1

    # the outermost

    def know(self, model: nn.Module) -> int | None:
        """The index of an outermost module; None of one without weights."""
        found = self.index.get(id(model))
        if found is not None:
            return found
        named = list(model.named_parameters())
        if not named:
            return None
        number = len(self.roots)
        self.index[id(model)] = number
        self.roots.append(model)
        seen = ModelSeen(type(model).__name__, sum(p.numel() for _, p in named))
        self.watching.seen.models.append(seen)
        owners = dict(model.named_modules())
        for name, weight in named:
            owner, _, _ = name.rpartition(".")
            self.optimizers.parameter(weight, name, type(owners[owner]).__name__, number)
            if len(name) >= len(self.watching.names.get(id(weight), "")):  # a part may be called by itself, too
                self.watching.names[id(weight)] = name
        chance = [(name, m) for name, m in owners.items() if isinstance(m, NORMS) or (isinstance(m, DROPOUT) and m.p)]
        self.chance[number] = [m for _, m in chance]
        seen.stochastic = [name or type(m).__name__ for name, m in chance]
        seen.norms = [name or type(m).__name__ for name, m in chance if isinstance(m, NORMS)]
        return number

    def _begin(self, model: nn.Module, args: tuple[Any, ...], gradient: bool) -> None:
        w = self.watching
        number = self.know(model)
        if number is None:
            return
        seen = w.seen.models[number]
        self.inside_training = gradient
        trail = places.trail()
        place = places.at(trail[0]) if trail else None
        w.event("forward" if gradient else "check", number, place)
        self._judge_unfinished()
        given = first_tensor(args)
        source = self.sources.get((w.loader, trail))
        if source is None:
            told = "/".join(f"{file}:{line}" for file, line in trail)
            source = self.sources[w.loader, trail] = f"{'' if w.loader is None else f'loader {w.loader} '}{told}"
        w.source = source
        on = any(m.training for m in self.chance[number])
        repeated = self._rows(gradient, given, place, number)
        self.entering = gradient and w.closely
        if gradient:
            self.replicas.passed(model, place)
            w.fed = given
            seen.place = seen.place or place
            if not seen.shape and given is not None:
                self._shapes(seen, given)
                self._keep_copy(number, model)
            if w.closely and given is not None and given.is_floating_point():
                rows.summarise(seen.inputs, given)
            w.given = given if w.update < PAIRED else None
            w.check = None
            w.pending.append(Pass(number, bool(self.chance[number]) and not on, not model.training, place))
            del w.pending[:-2000]
            normed = seen.norms and any(m.training for m in self.chance[number] if isinstance(m, NORMS))
            if given is not None and given.ndim and normed:
                seen.least_rows = min(seen.least_rows or len(given), len(given))
                seen.small_norms += len(given) <= 2
            if w.loader is not None:
                w.seen.loaders[w.loader].training += 1
            self.functions.listen()
        else:
            self.functions.stop()
            key = (w.source, w.update)
            if len(w.seen.checks) >= CHECKS:  # a program that predicts between any two updates
                key = next(reversed(self.checks))
            if key not in self.checks:
                self.checks[key] = Check(w.source, w.update, model=number)
                w.seen.checks.append(self.checks[key])
            w.check = self.checks[key]
            w.check.passes += 1
            w.check.on += on
            seen.judging += 1
            seen.judging_repeats += repeated and w.check.passes > 1
            if on and model.training:
                seen.judging_on += 1
                seen.judging_on_place = seen.judging_on_place or place
        if w.closely and model._parameters:
            self._executed(model, gradient)

    def _keep_copy(self, number: int, model: nn.Module) -> None:
        """A copy of a small model before its first update, for experiments at the end.

        None where several processes train: they would wait for each other in an experiment.
        """
        if (
            self.watching.seen.replicas.processes == 1
            and self.watching.update == 0
            and self.watching.seen.models[number].weights <= probes.LARGEST
        ):
            try:
                self.losses.copies[number] = copy.deepcopy(model)
            except Exception:  # not every module can be copied
                return

    def _shapes(self, seen: ModelSeen, given: Tensor) -> None:
        seen.shape, seen.dtype = tuple(given.shape), str(given.dtype)[6:]
        seen.features = rows.features(given)
        if not given.is_floating_point() and given.ndim == 2:
            seen.integer_rows = given[:16, :128].tolist()

    def _enter_first(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """The first layer of a training pass is called: what goes into it."""
        self.entering = False
        number, given = self.index.get(id(self.stack[0])), first_tensor(args)
        if number is None or given is None:
            return
        seen = self.watching.seen.models[number]
        if not seen.entry:
            seen.entry = type(module).__name__
            if isinstance(module, nn.Linear | nn.RNNBase | nn.RNNCellBase) and given.ndim >= 2:
                seen.entered_features = rows.features(given.reshape(-1, given.shape[-1]))
        if given.is_floating_point():
            rows.summarise(seen.entered, given)

    def _rows(self, gradient: bool, given: Tensor | None, place: Any, number: int) -> bool:
        """Note which rows a pass is given; whether they are those of the pass before in its group."""
        if given is None or given.ndim < 2 or given.device.type == "meta":
            return False
        if gradient and given.requires_grad:  # what another model computed is no row of the data
            self.fed_by_models.add(number)
        if number in self.fed_by_models:
            return False
        w = self.watching
        key = (gradient, w.source, number)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Rows(gradient, w.source, place, kinds=len(given.reshape(-1)[:4096].unique()))
            w.seen.rows.append(group)
            group.features = rows.features(given)
            group.model, group.shape, whole = number, tuple(given.shape), given._base
            group.of = len(whole) if whole is not None and whole.shape[1:] == given.shape[1:] else None
            group.text = " | ".join(linecache.getline(*at).strip() for at in places.trail())
        group.batches += 1
        if group.batches > BATCHES:
            return False
        found = rows.signatures(given)
        same = set(found) == self.newest.get(key, set()) and bool(found)
        self.newest[key] = set(found)
        group.signatures.update(found)
        group.equal_batches += same
        if group.batches <= 20 and given.is_floating_point():
            rows.summarise(group.inputs, given)
        return same

    def _end(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        w = self.watching
        number = self.index.get(id(model))
        result = first_tensor(output)
        if number is None or result is None:
            return
        seen = w.seen.models[number]
        if (w.closely or w.check is not None) and result.numel() and result.device.type != "meta":
            self.losses.outputs = [*self.losses.outputs[-8:], (result.untyped_storage().data_ptr(), number)]
        if not seen.output_shape:
            seen.output_shape = tuple(result.shape)
        if w.check is None and w.pending and w.pending[-1].model == number:
            w.pending[-1].graph = result.requires_grad
        if w.closely and self.inside_training:
            for leaf in graph.read([t.grad_fn for t in _tensors(output)]).leaves:
                known = w.parameters.get(id(leaf))
                if known is not None:
                    known.offered += 1
        if w.check is None and number not in self.first and self.inside_training:
            self.first[number] = (_copied(args), _copied(kwargs), None)
        if w.check is not None:
            self.unfinished = (w.check, result, w.batch)

    def _judge_unfinished(self) -> None:
        """Judge the predictions of a check that no loss function judged, by the labels that its batch brought."""
        if self.unfinished is None:
            return
        check, result, batch = self.unfinished
        self.unfinished = None
        if check.name or not isinstance(batch, list | tuple) or result.ndim != 2 or result.shape[1] < 2:
            return
        labels = [
            t for t in batch if isinstance(t, Tensor) and not t.is_floating_point() and t.shape == result.shape[:1]
        ]
        if len(labels) == 1:
            target, answers = losses.labels_of("cross_entropy", result, labels[0].to(result.device)) or (None, None)
            if target is not None and answers is not None:
                check.correct += int((target == answers).sum())
                check.judged += len(target)

    def _load(self, model: nn.Module, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
        self.loaded.update({id(p): weakref.ref(p) for name, p in model.named_parameters() if name not in missing})
        if not missing and not unexpected:
            return
        given = args[0] if args else kwargs.get("state_dict", {})
        own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        shapes = [tuple(given[name].shape) for name in unexpected if hasattr(given.get(name), "shape")]
        alike = 0
        for name in missing:
            if own.get(name) in shapes:
                shapes.remove(own[name])
                alike += 1
        self.watching.seen.loads.append(Load(places.here(), missing, unexpected, len(own), alike))

    def finish(self) -> None:
        """What can be said only at the end: which modules were never called, which checks were on training rows."""
        seen = self.watching.seen
        self._judge_unfinished()
        for number, model in enumerate(self.roots):
            told = seen.models[number]
            told.never_called = [
                name for name, m in model.named_modules()
                if name and id(m) not in self.called and any(p is not None for p in m._parameters.values())
            ]  # fmt: skip
        self._weights()
        taught: dict[int, set[int]] = {}
        for group in seen.rows:
            if group.gradient:
                taught.setdefault(group.model, set()).update(group.signatures)
        all_taught = set().union(*taught.values())
        again = set()
        for group in seen.rows:
            if group.gradient:
                continue
            training = taught.get(group.model, all_taught)  # all: of an average of weights, a teacher
            group.in_training = sum(signature in training for signature in group.signatures)
            if group.in_training >= 0.8 * len(training) and group.in_training > 0.5 * len(group.signatures):
                again.add(group.source)
        for check in seen.checks:
            check.on_training_rows = check.source in again

    def _weights(self) -> None:
        """Of each weight: was it loaded, is it still registered, is it what it was at the beginning?"""
        w = self.watching
        registered = [{id(p) for p in model.parameters()} for model in self.roots]
        for key, seen in w.parameters.items():
            weight, ref = w.tensors[key], self.loaded.get(key)
            seen.loaded = ref is not None and ref() is weight
            seen.gone = seen.model is not None and key not in registered[seen.model]
            values = weight.detach()
            if values.numel() and values.is_floating_point() and values.device.type != "meta":
                norm = float(values.float().norm())
                std = float(values.float().std(correction=0)) if values.numel() > 1 else 0.0
                same = math.isclose(norm, seen.start_norm, rel_tol=1e-7, abs_tol=1e-12)
                seen.moved = not (same and math.isclose(std, seen.start_std, rel_tol=1e-7, abs_tol=1e-12))

    inside_training = False


def _tensors(values: Any, depth: int = 0) -> list[Tensor]:
    """All tensors of what a model returned."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict) or hasattr(values, "keys"):
        values = list(values.values())
    elif not isinstance(values, list | tuple):
        values = list(getattr(values, "__dict__", {}).values())
    return [] if depth > 4 else [tensor for value in values for tensor in _tensors(value, depth + 1)]


def _copied(values: Any) -> Any:
    """Arguments whose tensors are copies, so that a later change in place isn't seen."""
    if isinstance(values, Tensor):
        return values.detach().clone() if values.numel() <= 4_000_000 else values.detach()
    if isinstance(values, dict):
        return {key: _copied(value) for key, value in values.items()}
    if isinstance(values, list | tuple) and type(values) in (list, tuple):
        return type(values)(_copied(value) for value in values)
    return values


def _after(original: Any, note: Any) -> Any:
    def load_state_dict(me: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = original(me, *args, **kwargs)
        if hasattr(result, "missing_keys"):
            note(me, result, args, kwargs)
        return result

    return load_state_dict
