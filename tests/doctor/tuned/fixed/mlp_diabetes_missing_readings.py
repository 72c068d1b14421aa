"""Trains a regression of how diabetes progresses, with the readings the clinic never took filled with the column
mean.

fixed: nan-in-data
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn.functional import mse_loss

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


def clinic_table():
    """The table as it came from the clinic: about two readings in a hundred were never taken."""
    table, progression = load_diabetes(return_X_y=True)
    table[rng.random(table.shape) < 0.02] = np.nan
    return table, progression


def prepare():
    x, y = clinic_table()
    order = rng.permutation(len(x))
    train, valid = order[:340], order[340:]
    x = (x - np.nanmean(x[train], axis=0)) / np.nanstd(x[train], axis=0)
    x = np.nan_to_num(x, nan=0.0)
    y = (y - y[train].mean()) / y[train].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    return x[train], y[train], x[valid], y[valid]


def epoch_of_training(model, optimizer, x, y, size=20):
    model.train()
    losses = []
    for rows in torch.randperm(len(x)).split(size):
        loss = mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def main():
    x, y, x_valid, y_valid = prepare()
    model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    for epoch in range(30):
        train_loss = epoch_of_training(model, optimizer, x, y)
        model.eval()
        with torch.no_grad():
            valid_loss = mse_loss(model(x_valid), y_valid).item()
        print(f"{epoch:2d}  train mse {train_loss:.3f}  valid mse {valid_loss:.3f}")


main()
