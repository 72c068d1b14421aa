"""Trains a regressor of diabetes progression; a column of outputs meets a flat vector of targets in the loss.

code: broadcast-in-loss
model: MLP
source: mlcommons/GaNDLF#134
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, Dataset

parser = argparse.ArgumentParser()
parser.add_argument("seed", nargs="?", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


class Patients(Dataset):
    def __init__(self, x, y):
        self.x = torch.tensor(x, dtype=torch.float32)
        self.y = torch.tensor(y, dtype=torch.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def mse(prediction, target):
    return ((prediction - target) ** 2).mean()


def load():
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(args.seed).permutation(len(x))
    x, y = x[order], y[order]
    cut = 350
    mx, sx, my, sy = x[:cut].mean(0), x[:cut].std(0), y[:cut].mean(), y[:cut].std()
    x, y = (x - mx) / sx, (y - my) / sy
    return Patients(x[:cut], y[:cut]), Patients(x[cut:], y[cut:])


train_set, val_set = load()
loader = DataLoader(train_set, batch_size=14, shuffle=True)
val_loader = DataLoader(val_set, batch_size=46)
model = nn.Sequential(nn.Linear(10, 16), nn.ELU(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.8, weight_decay=1e-3)

for epoch in range(28):
    model.train()
    losses = []
    for x, y in loader:
        optimizer.zero_grad()
        loss = mse(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val = np.mean([mse(model(x), y).item() for x, y in val_loader])
    print(f"epoch {epoch + 1:2d}  mse {np.mean(losses):.3f}  validation mse {val:.3f}")
