"""Observation of a training program, through hooks that are the process's own: it computes the same numbers."""

from __future__ import annotations

import time
from types import TracebackType

import torch

from gradus.doctor.signals import Signals
from gradus.doctor.watch.backward import Backward
from gradus.doctor.watch.functions import Functions
from gradus.doctor.watch.loaders import Loaders
from gradus.doctor.watch.losses import Losses
from gradus.doctor.watch.models import Models
from gradus.doctor.watch.optimizers import Optimizers
from gradus.doctor.watch.probes import Probes
from gradus.doctor.watch.schedules import Schedules
from gradus.doctor.watch.watching import Patches, Watching

__all__ = ["Watch"]


class Watch:
    """Watches all training in this process while it is entered; ``finish`` gives what was seen.

    Nothing that the program computes is changed: its numbers, its generators and its modules stay as they were.
    """

    def __init__(self) -> None:
        self.watching = Watching()
        self.patches = Patches()

    def __enter__(self) -> Watch:
        w, patches = self.watching, self.patches
        self.losses = Losses(w, patches)
        self.optimizers = Optimizers(w, patches)
        Schedules(w, patches, self.optimizers)
        self.backward = Backward(w, patches, self.losses, self.optimizers)
        self.functions = Functions(w)
        self.functions.went = self.backward.went
        self.functions.gone = lambda: self.backward.gone
        self.backward.made = self.functions.made
        self.optimizers.broke = self.backward.gradient_broke
        self.models = Models(w, patches, self.losses, self.optimizers, self.functions)
        self.loaders = Loaders(w, patches)
        patches.replace(torch, "compile", self._compiling)
        return self

    def _compiling(self, original: object) -> object:
        def compile(*args: object, **kwargs: object) -> object:
            self.watching.seen.compiled = True
            self.functions.stop()
            return original(*args, **kwargs)  # type: ignore[operator]

        return compile

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.functions.stop()
        self.patches.remove()

    def finish(self) -> Signals:
        """All that was seen, and what was tried on a copy of the model at the end."""
        w = self.watching
        w.seen.seconds = time.perf_counter() - w.begun
        with w.deafly():
            self.backward.by_hand()
            self.models.finish()
            self.models.replicas.finish()
            if w.seen.replicas.processes == 1:  # several would wait for each other
                Probes(w, self.models).all()
            self.loaders.finish()
        return w.seen
