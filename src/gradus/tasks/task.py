"""Step 3, objective: what a target means. A task is its loss, its metrics, its decoding and its trivial baseline.

The loss is a **sum**, and the number of targets is asked for apart: the caller divides by the count of the whole
global batch, so that one micro-batch or four, one process or many, give the same gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.dataset import Batch, Dataset
from gradus.data.encoder import Encoder
from gradus.errors import UserError, nearest
from gradus.models import apply
from gradus.tasks import metrics
from gradus.tasks.decoding import Decoding

Prediction = dict[str, Any]


class Task(ABC):
    """What every objective answers. Outputs are what the model gives, targets what the dataset gives."""

    name: ClassVar[str]
    primary: ClassVar[str]
    """The metric that a result is judged by."""
    higher_is_better: ClassVar[bool]
    writes: ClassVar[bool] = False
    """Whether an answer is written by the model, token by token, rather than read off its outputs."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many outputs the model must have."""

    @abstractmethod
    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss summed over the targets, a scalar."""

    def loss_of(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of a model on a batch, summed over its targets: what training goes down."""
        return self.loss_sum(apply(model, batch.inputs), batch.targets)

    def num_targets(self, targets: Tensor) -> int:
        """How many targets the loss is a sum over."""
        return len(targets)

    def keep(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What of a batch's outputs and targets is kept until a whole split is measured, (batch, …) each: all of it."""
        return outputs, targets

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The loss per target and the metrics of what was kept of a whole split."""
        loss = float(self.loss_sum(outputs, targets).double()) / self.num_targets(targets)
        return {"loss": loss, **self.metrics(outputs, targets)}

    @abstractmethod
    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The metrics of a whole split, beside its loss."""

    @abstractmethod
    def decode(self, outputs: Tensor) -> list[Prediction]:
        """What each row of outputs means, as plain values that go to JSON."""

    def decoding(self, **options: Any) -> Decoding:
        """How the model writes: the fields of ``Decoding`` that are given, over the task's own defaults.

        To ask for a beam is to ask for no draws, and to ask for draws (a temperature, top_k, top_p) for no beam.

        Raises:
            UserError: for an unknown field, naming the nearest.
        """
        known = [field.name for field in fields(Decoding)]
        for key in options:
            if key not in known:
                raise UserError(f"no setting '{key}' of decoding.{nearest(key, known)}")
        draws = {"temperature", "top_k", "top_p"} & options.keys()
        if draws and "beam" not in options:
            options = {"beam": 1, "temperature": self.usual.temperature or 1.0, **options}
        elif not draws and options.get("beam", 1) > 1:
            options = {"temperature": 0.0, **options}
        if options.get("temperature") and "beam" not in options:
            options["beam"] = 1  # to draw is asked for, not to search
        return replace(self.usual, **options)

    @property
    def usual(self) -> Decoding:
        """How the model writes where nothing is asked for."""
        return Decoding()

    def write(self, model: nn.Module, inputs: Tensor, encoder: Encoder, decoding: Decoding) -> list[Prediction]:
        """What the model writes to encoded inputs, (rows, …); only where ``writes``."""
        raise NotImplementedError

    def written(self, model: nn.Module, data: Dataset, rows: np.ndarray) -> dict[str, float]:
        """Metrics of what the model writes to some rows of a dataset; none where it doesn't write."""
        return {}

    @abstractmethod
    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        """The trivial predictor fitted on training targets: its name and its outputs for one row (num_outputs,)."""

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse outputs of a shape that would broadcast in silence or fail deep inside the loss."""
        wanted = (len(targets), self.num_outputs)
        if tuple(outputs.shape) != wanted and not (self.num_outputs == 1 and tuple(outputs.shape) == wanted[:1]):
            raise UserError(
                f"the model's output has shape {tuple(outputs.shape)}, but {self.name} on a batch of {len(targets)} "
                f"needs {wanted}: (batch, outputs). End the model with {self.num_outputs} outputs."
            )

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


def _column(outputs: Tensor) -> Tensor:
    """Outputs (batch, 1) or (batch,) as (batch,), so that they never broadcast against targets (batch,)."""
    return outputs.squeeze(-1) if outputs.ndim == 2 else outputs


@dataclass(frozen=True)
class Regression(Task):
    """A number: squared error. ``mean`` and ``std`` bring a standardised target back to its own units."""

    name: ClassVar[str] = "regression"
    primary: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[bool] = False
    mean: float = 0.0
    std: float = 1.0

    @property
    def num_outputs(self) -> int:
        return 1

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(_column(outputs), targets, reduction="sum")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        return metrics.regression(self._units(_column(outputs)), self._units(targets))

    def decode(self, outputs: Tensor) -> list[Prediction]:
        return [{"value": v} for v in self._units(_column(outputs)).tolist()]

    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        return "mean of the training targets", targets.double().mean().float().reshape(1)

    def _units(self, values: Tensor) -> Tensor:
        return values.double() * self.std + self.mean


@dataclass(frozen=True)
class Binary(Task):
    """Two classes from one logit: cross-entropy.

    Args:
        labels: names of class 0 and class 1.
        threshold: class 1 is predicted from this probability on.
        unsure: a band (low, high) of probabilities of class 1 within which the answer is "unsure".
        weights: of class 0 and class 1 in the loss; their mean over the training rows should be 1.
        label_smoothing: the share of the target spread over both classes (Szegedy et al. 2016).
    """

    name: ClassVar[str] = "binary"
    primary: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    labels: tuple[str, ...] = ("0", "1")
    threshold: float = 0.5
    unsure: tuple[float, float] | None = None
    weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if len(self.labels) != 2:
            raise UserError(f"Binary needs two labels, not {len(self.labels)}; use MultiClass for more.")
        if not 0 < self.threshold < 1:
            raise UserError(f"threshold is a probability between 0 and 1, not {self.threshold}.")
        if self.unsure is not None and not 0 <= self.unsure[0] <= self.unsure[1] <= 1:
            raise UserError(f"unsure is a band (low, high) of probabilities, not {self.unsure}.")

    @property
    def num_outputs(self) -> int:
        return 1

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weight = None if self.weights is None else self.weights[0] + (self.weights[1] - self.weights[0]) * targets
        if self.label_smoothing:
            targets = torch.lerp(targets, torch.full_like(targets, 0.5), self.label_smoothing)
        return F.binary_cross_entropy_with_logits(_column(outputs), targets, weight=weight, reduction="sum")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        probability = torch.sigmoid(_column(outputs).double())
        classes, predicted = targets.long(), (probability >= self.threshold).long()
        correct = predicted == classes
        out = {
            "accuracy": metrics.accuracy(predicted, classes),
            "f1_macro": metrics.f1_macro(predicted, classes),
            "auroc": metrics.auroc(probability, classes == 1),
            "calibration_error": metrics.calibration_error(probability, classes == 1),
        }
        if self.unsure is not None:
            sure = ~self._unsure(probability)
            out["coverage"] = float(sure.double().mean())
            out["accuracy_sure"] = float(correct[sure].double().mean())
        return out

    def decode(self, outputs: Tensor) -> list[Prediction]:
        probability = torch.sigmoid(_column(outputs).double())
        unsure = self._unsure(probability).tolist()
        return [
            {
                "label": "unsure" if unsure[row] else self.labels[p >= self.threshold],
                "probabilities": {self.labels[0]: 1 - p, self.labels[1]: p},
            }
            for row, p in enumerate(probability.tolist())
        ]

    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        share = targets.double().mean().clamp(1e-6, 1 - 1e-6)
        return "most frequent class", torch.logit(share).float().reshape(1)

    def _unsure(self, probability: Tensor) -> Tensor:
        if self.unsure is None:
            return torch.zeros_like(probability, dtype=torch.bool)
        low, high = self.unsure
        return (probability > low) & (probability < high)


@dataclass(frozen=True)
class MultiClass(Task):
    """One of several classes, a logit each: cross-entropy.

    Args:
        labels: names of the classes in the order of the outputs, or how many there are.
        unsure: an answer whose probability is below this is "unsure".
        weights: of the classes in the loss; their mean over the training rows should be 1.
        label_smoothing: the share of the target spread over all classes (Szegedy et al. 2016).
    """

    name: ClassVar[str] = "multiclass"
    primary: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    labels: tuple[str, ...]
    unsure: float | None = None
    weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.labels, int):
            object.__setattr__(self, "labels", tuple(str(i) for i in range(self.labels)))
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(self.labels) < 2:
            raise UserError(f"MultiClass needs at least two labels, not {len(self.labels)}.")
        if self.weights is not None and len(self.weights) != len(self.labels):
            raise UserError(f"{len(self.weights)} class weights for {len(self.labels)} classes; give one a class.")

    @property
    def num_outputs(self) -> int:
        return len(self.labels)

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(outputs, targets, reduction="sum", label_smoothing=self.label_smoothing)
        weight = torch.tensor(self.weights, device=outputs.device, dtype=outputs.dtype)
        return F.cross_entropy(outputs, targets, weight, reduction="sum", label_smoothing=self.label_smoothing)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        probabilities = torch.softmax(outputs.double(), dim=1)
        confidence, predicted = probabilities.max(dim=1)
        correct = predicted == targets
        out = {
            "accuracy": metrics.accuracy(predicted, targets),
            "f1_macro": metrics.f1_macro(predicted, targets),
            "auroc": metrics.auroc_macro(probabilities, targets),
            "calibration_error": metrics.calibration_error(confidence, correct),
        }
        if self.unsure is not None:
            sure = confidence >= self.unsure
            out["coverage"] = float(sure.double().mean())
            out["accuracy_sure"] = float(correct[sure].double().mean())
        return out

    def decode(self, outputs: Tensor) -> list[Prediction]:
        rows = torch.softmax(outputs.double(), dim=1).tolist()
        out = []
        for row in rows:
            best = max(range(len(row)), key=row.__getitem__)
            unsure = self.unsure is not None and row[best] < self.unsure
            out.append(
                {
                    "label": "unsure" if unsure else self.labels[best],
                    "probabilities": dict(zip(self.labels, row, strict=True)),
                }
            )
        return out

    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        counts = torch.bincount(targets, minlength=len(self.labels)).double()
        return "most frequent class", (counts / counts.sum()).clamp(min=1e-6).log().float()
