"""Trains a wide network on the few rows of a diabetes study until it knows them by heart.

code: overfitting
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import nn

HIDDEN = 256
TRAIN_ROWS = 60

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
x, y = load_diabetes(return_X_y=True)
order = np.random.default_rng(seed).permutation(len(x))
train_rows, val_rows = order[:TRAIN_ROWS], order[-90:]
x = (x - x[train_rows].mean(axis=0)) / x[train_rows].std(axis=0)
y = (y - y[train_rows].mean()) / y[train_rows].std()
x, y = torch.from_numpy(x).float(), torch.from_numpy(y).float()[:, None]

model = nn.Sequential(nn.Linear(10, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
criterion = nn.MSELoss()

for epoch in range(1, 61):
    model.train()
    total = 0.0
    for batch in torch.randperm(TRAIN_ROWS).split(15):
        rows = train_rows[batch.numpy()]
        optimizer.zero_grad()
        loss = criterion(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    model.eval()
    with torch.no_grad():
        val = criterion(model(x[val_rows]), y[val_rows]).item()
    if epoch % 5 == 0:
        print(f"epoch {epoch:3d}  train mse {total / TRAIN_ROWS:.4f}  val mse {val:.4f}")
