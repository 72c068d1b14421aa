"""What a result is held against: a constant answer, and a simple model of the kind on the same split."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from gradus.data.dataset import Dataset, MemoryDataset
from gradus.data.sequences import TextClasses, TextLines, TextPairs
from gradus.data.splits import some_rows
from gradus.data.windows import SeriesDataset
from gradus.tasks import text_baselines
from gradus.tasks.forecast import Forecast, forecast_baselines
from gradus.tasks.task import Regression, Task
from gradus.tasks.tokens import TokenTask

MAX_ROWS = 5_000  # a linear model learns little more from more rows, and takes long over pictures
Scores = dict[str, dict[str, float]]


def baselines(task: Task, data: Dataset, split: str = "test", *, reference: bool = True) -> Scores:
    """Metrics by baseline name on one split: the trivial predictor and, on data in memory, the linear model.

    Args:
        reference: False leaves the linear model out.
    """
    if len(data.splits[split]) == 0:
        return {}
    if isinstance(data, SeriesDataset) and isinstance(task, Forecast):
        return forecast_baselines(task, data, split)
    if isinstance(data, TextClasses):
        return text_baselines.text_classes(task, data, split)
    if isinstance(data, TextLines) and isinstance(task, TokenTask):
        return text_baselines.next_token(task, data, split)
    if isinstance(data, TextPairs):
        return text_baselines.nearest_answer(data, split)
    if not isinstance(data, MemoryDataset):
        return {}
    targets = data.targets.cpu()
    train, rows = (torch.from_numpy(data.splits[s]) for s in ("train", split))
    name, outputs = task.constant(targets[train])
    out = {name: task.metrics(outputs.expand(len(rows), -1), targets[rows])}
    if reference:
        name, outputs = linear_model(task, data, split)
        out[name] = task.metrics(outputs, targets[rows])
    return out


def linear_model(task: Task, data: MemoryDataset, split: str) -> tuple[str, torch.Tensor]:
    """Ridge or logistic regression fitted on the training split: its name and its outputs on a split.

    The strength of the penalty is scikit-learn's default (1), the inputs are those that the model reads.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    train = data.splits["train"]
    train = some_rows(train, MAX_ROWS)
    x, y = data.linear_inputs(train), data.targets.cpu().numpy()[train]
    x_split = data.linear_inputs(data.splits[split])
    some = f" on {len(train):,} rows" if len(train) < len(data.splits["train"]) else ""
    with warnings.catch_warnings():  # a reference need not be converged to the last digit
        warnings.simplefilter("ignore", ConvergenceWarning)
        if isinstance(task, Regression):
            predicted = Ridge().fit(x, y).predict(x_split)
            return f"ridge regression{some}", torch.from_numpy(np.asarray(predicted, dtype=np.float32))[:, None]
        model = LogisticRegression(max_iter=100 if x.shape[1] > 200 else 1000).fit(x, y.astype(np.int64))
    decision = np.asarray(model.decision_function(x_split), dtype=np.float32)
    if task.num_outputs == 1:
        return f"logistic regression{some}", torch.from_numpy(decision)[:, None]
    logits = np.full((len(x_split), task.num_outputs), -1e9, dtype=np.float32)  # a class never seen is never given
    present = np.asarray(model.classes_)
    logits[:, present] = np.stack([-decision, decision], axis=1) if decision.ndim == 1 else decision
    return f"logistic regression{some}", torch.from_numpy(logits)
