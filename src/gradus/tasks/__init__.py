"""Step 3, objective: loss, metrics, decoding and baselines of what a target means."""

from gradus.tasks.baselines import baselines
from gradus.tasks.task import (
    TASKS,
    Binary,
    MultiClass,
    Prediction,
    Regression,
    Task,
    balanced_weights,
    for_target,
    from_json,
)

__all__ = [
    "TASKS",
    "Binary",
    "MultiClass",
    "Prediction",
    "Regression",
    "Task",
    "balanced_weights",
    "baselines",
    "for_target",
    "from_json",
]
