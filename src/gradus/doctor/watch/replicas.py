"""Watches programs of several processes: whether what one learns reaches the others."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import Store, _get_default_store
from torch.nn.parallel import DistributedDataParallel

from gradus.doctor import places
from gradus.doctor.signals import Place
from gradus.doctor.watch.watching import Patches, Watching, before_call

SPEAK = ("all_reduce", "reduce", "all_gather", "all_gather_into_tensor", "all_gather_object", "gather",
         "reduce_scatter", "reduce_scatter_tensor", "broadcast", "all_to_all", "all_to_all_single", "send", "recv",
         "isend", "irecv", "batch_isend_irecv")  # fmt: skip


LATE = datetime.timedelta(seconds=5)
COMPARED = 1000  # updates; beyond them weights aren't compared any more


def processes() -> int:
    """How many processes this program is of; 1 where they aren't connected."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class Replicas:
    """Wraps DistributedDataParallel, which averages gradients only of what is called through it; and what programs
    send to one another themselves."""

    def __init__(self, watching: Watching, patches: Patches) -> None:
        self.watching = watching
        self.norms: dict[int, list[float]] = {}  # of some weights after so many updates, not yet compared
        self.keys: dict[int, list[str]] = {}  # under which the others leave theirs
        self.store: Store | None = None
        self.inside: set[int] = set()  # modules that a wrapper holds
        if not dist.is_available():
            return
        patches.replace(DistributedDataParallel, "__init__", self._wrap_made)
        through = watching.quietly(self._through)
        patches.replace(DistributedDataParallel, "forward", lambda f: before_call(f, lambda me, *a, **k: through(me)))
        said = watching.quietly(self._said)
        for name in SPEAK:
            patches.replace(dist, name, lambda f: before_call(f, lambda *a, **k: said()))

    def _wrap_made(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def made(me: DistributedDataParallel, *args: Any, **kwargs: Any) -> None:
            with self.watching.deafly():  # it compares shapes among the processes: that teaches none of them anything
                original(me, *args, **kwargs)
            self.inside.update(map(id, me.module.modules()))
            self.watching.seen.replicas.wrapped = True

        return made

    def _through(self, wrapper: DistributedDataParallel) -> None:
        """A wrapper is called; in training mode hardly ever without gradient."""
        seen = self.watching.seen.replicas
        if not wrapper.training:
            return
        if wrapper.require_backward_grad_sync:
            seen.averaged += 1
        else:
            seen.kept_back += 1
            seen.place = seen.place or places.here()

    def _said(self) -> None:
        self.watching.seen.replicas.sent += 1

    def passed(self, model: nn.Module, place: Place | None) -> None:
        """An outermost module is called with gradient."""
        seen = self.watching.seen.replicas
        if not seen.processes:
            seen.processes = processes()
            seen.sharded = any(not _plain(p) for p in model.parameters())
        if id(model) in self.inside:
            seen.past += 1
            seen.place = seen.place or place
        elif seen.processes > 1 and not isinstance(model, DistributedDataParallel):
            seen.alone = seen.alone or place
        update = self.watching.update
        if seen.processes > 1 and self.watching.closely and not seen.sharded and update <= COMPARED:
            self._compare(model, update)

    def _compare(self, model: nn.Module, update: int) -> None:
        """Leave some norms where the processes meet; the first of them compares what all have left there.

        Nobody waits for anybody: what isn't there yet is looked for the next time.
        """
        self.store = self.store or _get_default_store()
        seen, store, rank = self.watching.seen.replicas, self.store, dist.get_rank()
        weights = list(model.parameters())
        if update in self.norms or not weights:
            return
        chosen = {0, len(weights) // 2, len(weights) - 1}
        norms = self.norms[update] = [float(weights[k].detach().double().norm()) for k in sorted(chosen)]
        kind = type(model).__name__
        if rank:
            store.set(f"gradus/{kind}/{update}/{rank}", json.dumps(norms))
            return
        for earlier in list(self.norms):
            self.keys[earlier] = [f"gradus/{kind}/{earlier}/{other}" for other in range(1, seen.processes)]
            if store.check(self.keys[earlier]):
                self._compared(earlier)

    def _compared(self, update: int) -> None:
        seen, own = self.watching.seen.replicas, self.norms.pop(update)
        assert self.store is not None
        others = [json.loads(self.store.get(key)) for key in self.keys[update]]
        pairs = [pair for other in others for pair in zip(own, other, strict=True)]
        seen.apart = max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)
        seen.compared = update

    def finish(self) -> None:
        """Where the first process was ahead of the others all the time, wait for them, if not for long."""
        last = max(self.keys, default=0)
        if self.store is not None and last and not self.watching.seen.replicas.compared:
            with contextlib.suppress(RuntimeError):  # one of them has ended, or is slow
                self.store.wait(self.keys[last], LATE)
                self._compared(last)


def _plain(weight: torch.Tensor) -> bool:
    """Whether a weight is whole in this process, and no part of one, as of FSDP."""
    return type(weight) in (nn.Parameter, torch.Tensor) and not hasattr(weight, "_is_flat_param")
