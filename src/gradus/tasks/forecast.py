"""The next steps of a series, as quantiles: pinball loss, errors in the target's units, and what they are held against.

An output is (batch, horizon, quantiles) in standardised units. The median is the forecast, the outer two are its band.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gradus.data.windows import SeriesDataset
from gradus.errors import UserError
from gradus.tasks.task import Prediction, Task

MAX_WINDOWS = 4_000  # for the linear model: windows that overlap teach little more
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Forecast(Task):
    """The next ``horizon`` steps: the pinball loss of some quantiles (Koenker and Bassett 1978), averaged over them.

    Args:
        mean, std: bring a standardised target back to its own units.
        season: steps in what repeats.
        scale: the mean absolute error, in the target's units, of the value a season before, over the training rows:
            what MASE divides by (Hyndman and Koehler 2006). MASE is judged by, for it needs no knowledge of the
            units: below 1 is better than the seasonal guess did in training.
        quantiles: rising, an odd number of them with 0.5 in the middle.
    """

    name: ClassVar[str] = "forecast"
    primary: ClassVar[str] = "mase"
    higher_is_better: ClassVar[bool] = False
    horizon: int
    mean: float = 0.0
    std: float = 1.0
    season: int = 1
    scale: float = 1.0
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", tuple(self.quantiles))
        q = self.quantiles
        rising = all(a < b for a, b in zip((0.0, *q), (*q, 1.0), strict=True))
        if len(q) < 3 or len(q) % 2 == 0 or not rising or q[len(q) // 2] != 0.5:
            raise UserError(f"quantiles are rising shares with 0.5 in the middle, as (0.1, 0.5, 0.9), not {q}.")

    @classmethod
    def of(cls, data: SeriesDataset, **options: Any) -> Forecast:
        """The task of a series, its scale measured on the training rows."""
        target = data.target
        y = np.where(data.grid.measured[:, 0], data.grid.values[:, 0], np.nan)[: data.ends[0]]
        apart = np.abs(y[data.season :] - y[: -data.season])
        known = apart[np.isfinite(apart)]
        scale = float(known.mean()) if len(known) else float("nan")
        return cls(data.column.horizon, target.mean, target.std, data.season, scale, **options)

    @property
    def num_outputs(self) -> int:
        return self.horizon * len(self.quantiles)

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        q = torch.tensor(self.quantiles, dtype=outputs.dtype, device=outputs.device)
        short = targets[..., None] - outputs
        return torch.maximum(q * short, (q - 1) * short).mean(dim=-1).sum()

    def num_targets(self, targets: Tensor) -> int:
        return targets.numel()

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """MAE and RMSE of the median in the target's units, MASE, and the share of targets within the band."""
        low, middle, high = self.band(outputs)
        true = self.units(targets)
        error = middle - true
        mae = float(error.abs().mean())
        return {
            "mase": mae / self.scale if self.scale > 0 else float("nan"),
            "mae": mae,
            "rmse": float((error**2).mean().sqrt()),
            "coverage": float(((low <= true) & (true <= high)).double().mean()),
        }

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean absolute error of each step ahead, (horizon,), in the target's units."""
        return (self.band(outputs)[1] - self.units(targets)).abs().mean(dim=0)

    def decode(self, outputs: Tensor) -> list[Prediction]:
        """The forecast and its band, a number a step each."""
        low, middle, high = (part.tolist() for part in self.band(outputs))
        return [{"forecast": m, "low": a, "high": b} for a, m, b in zip(low, middle, high, strict=True)]

    def constant(self, targets: Tensor) -> tuple[str, Tensor]:
        q = torch.tensor(self.quantiles, dtype=torch.float64)
        levels = torch.quantile(targets.double().flatten().cpu()[:: max(1, targets.numel() // 1_000_000)], q)
        return "quantiles of the training targets", levels.float().expand(self.horizon, -1).to(targets.device)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        wanted = (len(targets), self.horizon, len(self.quantiles))
        if tuple(targets.shape) != wanted[:2]:
            raise UserError(
                f"targets of shape {tuple(targets.shape)}, but a forecast of {self.horizon} steps has {wanted[:2]}."
            )
        if tuple(outputs.shape) != wanted:
            raise UserError(
                f"the model's output has shape {tuple(outputs.shape)}, but {self.name} on a batch of {len(targets)} "
                f"needs {wanted}: (batch, horizon, quantiles)."
            )

    def band(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The lowest quantile, the median and the highest, (batch, horizon) each, in the target's units.

        Quantiles that cross are put in order (Chernozhukov, Fernández-Val and Galichon 2010).
        """
        ordered = self.units(outputs).sort(dim=-1).values
        return ordered[..., 0], ordered[..., len(self.quantiles) // 2], ordered[..., -1]

    def units(self, values: Tensor) -> Tensor:
        return values.double() * self.std + self.mean


def forecast_baselines(task: Forecast, data: SeriesDataset, split: str = "test") -> Scores:
    """Metrics by name of the last value, the value a season before and a linear model, on the same windows."""
    rows = data.splits[split]
    if len(rows) == 0:
        return {}
    targets = _targets(data, rows)
    return {name: task.metrics(outputs, targets) for name, outputs in baseline_outputs(task, data, rows).items()}


def baseline_outputs(task: Forecast, data: SeriesDataset, rows: np.ndarray) -> dict[str, Tensor]:
    """What each baseline gives for some windows, (rows, horizon, quantiles), standardised, on the CPU.

    Each gets its band from its own errors on the training windows, step by step.
    """
    train = data.splits["train"]
    train = train[np.linspace(0, len(train) - 1, min(len(train), MAX_WINDOWS)).astype(np.int64)]
    true = _targets(data, train).double().numpy()
    guessed = {"last value": (_last(data, train), _last(data, rows))}
    if data.season > 1:
        guessed["seasonal naive"] = _seasonal(data, train), _seasonal(data, rows)
    guessed["ridge regression"] = _ridge(data, train, rows)
    out = {}
    for name, (fitted, guesses) in guessed.items():
        band = np.quantile(true - fitted, task.quantiles, axis=0).T  # (horizon, quantiles)
        band -= band[:, len(task.quantiles) // 2, None]
        out[name] = torch.from_numpy((guesses[..., None] + band).astype(np.float32))
    return out


def _targets(data: SeriesDataset, rows: np.ndarray) -> Tensor:
    return data.batch(torch.from_numpy(rows).to(data.place)).targets.cpu()


def _past(data: SeriesDataset) -> np.ndarray:
    """The target over all times, (time,), standardised."""
    return data.values[:, 0].double().cpu().numpy()


def _last(data: SeriesDataset, rows: np.ndarray) -> np.ndarray:
    """The last value of each history, for all of its horizon: (rows, horizon)."""
    last = _past(data)[rows + data.column.history - 1]
    return np.repeat(last[:, None], data.column.horizon, axis=1)


def _seasonal(data: SeriesDataset, rows: np.ndarray) -> np.ndarray:
    """The values one season before, (rows, horizon): of the last whole season that is known where it began."""
    ahead = np.arange(data.column.horizon)
    seasons_back = data.season * (ahead // data.season + 1)
    places = (rows + data.column.history)[:, None] + ahead - seasons_back
    return np.asarray(
        _past(data)[np.maximum(places, 0)]
    )  # before the first row there is nothing; only training windows ask


def _ridge(data: SeriesDataset, train: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression of scikit-learn, its penalty the default, from all numbers of the history to all steps."""
    from scipy.linalg import LinAlgWarning
    from sklearn.linear_model import Ridge

    def inputs(some: np.ndarray) -> np.ndarray:
        batch = data.batch(torch.from_numpy(some).to(data.place)).inputs
        assert isinstance(batch, Tensor)
        return batch.cpu().flatten(1).numpy()

    shape = (-1, data.column.horizon)
    with warnings.catch_warnings():  # neighbouring steps are much alike, which the penalty is there for
        warnings.simplefilter("ignore", LinAlgWarning)
        model = Ridge().fit(inputs(train), _targets(data, train).numpy())

    def guess(some: np.ndarray) -> np.ndarray:
        parts = np.array_split(some, -(-len(some) // MAX_WINDOWS))
        return np.concatenate([np.asarray(model.predict(inputs(part)), np.float64).reshape(shape) for part in parts])

    return guess(train), guess(rows)
