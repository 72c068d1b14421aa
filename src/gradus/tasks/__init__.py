"""Step 3, objective: loss, metrics, decoding and baselines of what a target means."""

from gradus.tasks.answers import Answers, Lessons
from gradus.tasks.baselines import baselines
from gradus.tasks.choose import TASKS, balanced_weights, for_target, from_json
from gradus.tasks.decoding import Decoding
from gradus.tasks.forecast import Forecast, forecast_baselines
from gradus.tasks.preference import Preference, reference_of
from gradus.tasks.task import Binary, MultiClass, Prediction, Regression, Task
from gradus.tasks.tokens import NextToken, SequenceToSequence, Tagging

__all__ = [
    "TASKS",
    "Answers",
    "Binary",
    "Decoding",
    "Forecast",
    "Lessons",
    "MultiClass",
    "NextToken",
    "Prediction",
    "Preference",
    "Regression",
    "SequenceToSequence",
    "Tagging",
    "Task",
    "balanced_weights",
    "baselines",
    "for_target",
    "forecast_baselines",
    "from_json",
    "reference_of",
]
