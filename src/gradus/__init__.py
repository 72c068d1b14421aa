"""Gradus: from the first fitted line to a small language model of your own, in four plain steps.

    import gradus as gd
    data = gd.data.table("titanic.csv", target="Survived")              # 1 data
    model = gd.models.MLP(data.num_inputs, 64, 64, data.num_outputs)    # 2 model
    task = gd.tasks.for_target(data)                                    # 3 objective
    run = gd.train(model, data, task, epochs=50)                        # 4 loop

Every name loads what it needs on first use: importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gradus.errors import Interrupted, UserError

if TYPE_CHECKING:
    from gradus import data, models, tasks, training
    from gradus.experiment import resume, train
    from gradus.fitting import cross_validate, fit
    from gradus.models.weights import load_weights
    from gradus.training import Run

__version__ = "0.1.0"
__all__ = [
    "Interrupted",
    "Run",
    "UserError",
    "cross_validate",
    "data",
    "fit",
    "load_weights",
    "models",
    "resume",
    "tasks",
    "train",
    "training",
]

_ROOMS = ("data", "models", "tasks", "training")
_HOMES = {
    "Run": "gradus.training",
    "load_weights": "gradus.models.weights",
    **dict.fromkeys(("resume", "train"), "gradus.experiment"),
    **dict.fromkeys(("cross_validate", "fit"), "gradus.fitting"),
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"gradus.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gradus' has no attribute '{name}'")
