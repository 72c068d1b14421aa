"""Watches what comes around updates: clipping, scaling of losses, schedules of the learning rate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradus.doctor import places
from gradus.doctor.signals import Clip, Place, SchedulerSeen
from gradus.doctor.watch.optimizers import Optimizers, nonzero
from gradus.doctor.watch.watching import Patches, Watching, before_call


class Schedules:
    """Wraps the functions that clip gradients, the scaler's methods and each schedule's step."""

    def __init__(self, watching: Watching, patches: Patches, optimizers: Optimizers) -> None:
        self.watching, self.optimizers = watching, optimizers
        self.clips: dict[Place | None, Clip] = {}
        self.schedulers: dict[int, tuple[Any, SchedulerSeen]] = {}
        clip = watching.quietly(self._clip)
        for name in ("clip_grad_norm_", "clip_grad_value_"):
            for owner in (nn.utils, nn.utils.clip_grad):
                patches.replace(owner, name, lambda f: before_call(f, clip))
        self._schedules(patches)
        self._scalers(patches)

    def _clip(self, parameters: Any, limit: float = 0.0, *args: Any, **kwargs: Any) -> None:
        place = places.here()
        clip = self.clips.get(place)
        if clip is None:
            clip = self.clips[place] = Clip(place)
            self.watching.seen.clips.append(clip)
        self.watching.event("clip", place=place)
        clip.calls += 1
        clip.limit = float(kwargs.get("max_norm", kwargs.get("clip_value", limit)))
        weights = [parameters] if isinstance(parameters, Tensor) else None
        if weights is None and isinstance(parameters, list | tuple):
            weights = [p for p in parameters if isinstance(p, Tensor)]
        if weights is None:  # a generator must not be used up: the weights that optimisers hold stand for it
            weights = [p for state in self.optimizers.states for p in state.weights]
        with_gradient = [p for p in weights if p.grad is not None]
        ids = {id(p) for p in weights}
        states = [s for s in self.optimizers.states if any(id(p) in ids for p in s.weights)]
        if not any(nonzero(p) for p in with_gradient):
            clip.before_backward += bool(states) and not any(s.fresh for s in states)
            return
        ids = {id(p) for p in with_gradient}
        states = [s for s in self.optimizers.states if any(id(p) in ids for p in s.weights)]
        if states and all(s.used and not s.fresh for s in states):
            clip.after_step += 1
        if any(s.scaled for s in states):
            clip.before_unscale += 1

    def _schedules(self, patches: Patches) -> None:
        from torch.optim import lr_scheduler

        note = self.watching.quietly(self._scheduled)
        depth = 0

        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def step(me: Any, *args: Any, **kwargs: Any) -> Any:
                nonlocal depth
                if depth == 0 and getattr(me, "last_epoch", 0) >= 0 and not getattr(me, "_is_initial", False):
                    note(me)
                depth += 1
                try:
                    return original(me, *args, **kwargs)
                finally:
                    depth -= 1

            return step

        for kind in vars(lr_scheduler).values():
            if isinstance(kind, type) and "step" in vars(kind) and issubclass(kind, lr_scheduler.LRScheduler):
                patches.replace(kind, "step", wrap)

    def _scheduled(self, scheduler: Any) -> None:
        w, optimizer = self.watching, getattr(scheduler, "optimizer", None)
        number = self.optimizers.index.get(id(optimizer), 0)
        updates = w.seen.optimizers[number].steps if number < len(w.seen.optimizers) else 0
        place = places.here()
        _, seen = self.schedulers.get(id(scheduler), (None, None))
        if seen is None:
            settings = {
                key: float(value) for key, value in vars(scheduler).items()
                if isinstance(value, int | float) and not key.startswith("_") and key != "last_epoch"
            }  # fmt: skip
            seen = SchedulerSeen(type(scheduler).__name__, place, settings=settings, optimizer=number)
            self.schedulers[id(scheduler)] = scheduler, seen
            w.seen.schedulers.append(seen)
        w.event("schedule", number, place)
        seen.steps += 1
        seen.before_optimizer |= updates == 0
        seen.updates = updates

    def _scalers(self, patches: Patches) -> None:
        scale = self.watching.quietly(lambda me: self._scaled(True) if me.is_enabled() else None)
        unscale = self.watching.quietly(lambda me: self._scaled(False))
        kind = torch.amp.GradScaler
        patches.replace(kind, "scale", lambda f: before_call(f, lambda me, *a, **k: scale(me)))
        patches.replace(kind, "unscale_", lambda f: before_call(f, lambda me, *a, **k: unscale(me)))
        patches.replace(kind, "step", lambda f: before_call(f, lambda me, *a, **k: unscale(me)))

    def _scaled(self, scaled: bool) -> None:
        for state in self.optimizers.states:
            state.scaled = scaled
