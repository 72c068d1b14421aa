"""Models of the next steps of a series: a linear one, and a recurrent one that reads the history in patches.

Both bring each window to a level and a spread of its own before they read it, and bring the answer back, so that a
series whose level has moved since training is read as before (RevIN, Kim et al. 2022; NLinear, Zeng et al. 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearForecaster(nn.Module):
    """One affine map from the history of all features to the quantiles of each step ahead, relative to the last value.

    With one feature and one quantile it is NLinear (Zeng et al. 2023). It begins by saying the last value.

    Shapes: (batch, history, features), the target first → (batch, horizon, quantiles).
    """

    def __init__(self, history: int, num_features: int, horizon: int, quantiles: int = 3) -> None:
        super().__init__()
        self.history, self.num_features, self.horizon, self.quantiles = history, num_features, horizon, quantiles
        self.linear = nn.Linear(history * num_features, horizon * quantiles)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, -1:]
        out = self.linear((x - last).flatten(1)).unflatten(1, (self.horizon, self.quantiles))
        return out + last[:, :, :1]


class LSTMForecaster(nn.Module):
    """An LSTM over patches of the history; its last state tells the quantiles of all steps ahead at once.

    Reading ``patch`` steps at a time makes the recurrence shorter by that factor, and so faster to run and easier to
    learn (SegRNN, Lin et al. 2023).

    Args:
        patch: steps that are read at a time; the history's first steps are left out where it isn't a multiple.
        hidden: width of the LSTM.
        dropout: share of its last state that is dropped in training.

    Shapes: (batch, history, features), the target first → (batch, horizon, quantiles).
    """

    def __init__(
        self,
        num_features: int,
        horizon: int,
        quantiles: int = 3,
        hidden: int = 64,
        layers: int = 1,
        patch: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features, self.horizon, self.quantiles = num_features, horizon, quantiles
        self.hidden, self.layers, self.patch, self.dropout = hidden, layers, patch, dropout
        self.embed = nn.Linear(patch * num_features, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, horizon * quantiles)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, -1:]
        spread = (x - last).square().mean(dim=1, keepdim=True).sqrt() + 1e-2
        x = (x - last) / spread
        patches = x[:, x.shape[1] % self.patch :].unflatten(1, (-1, self.patch)).flatten(2)
        states, _ = self.lstm(torch.relu(self.embed(patches)))
        out = self.head(self.drop(states[:, -1])).unflatten(1, (self.horizon, self.quantiles))
        return out * spread[:, :, :1] + last[:, :, :1]
