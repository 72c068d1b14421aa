"""Trains a regression of how diabetes progresses; the NumPy table stays in double precision, and the first layer
refuses it.

code: error-dtype
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


class TableDataset(Dataset):
    def __init__(self, x, y):
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(y)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i : i + 1]


x, y = load_diabetes(return_X_y=True)
rows = rng.permutation(len(y))
train, valid = rows[:342], rows[342:]
x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
y = (y - y[train].mean()) / y[train].std()
train_loader = DataLoader(TableDataset(x[train], y[train]), batch_size=18, shuffle=True)
valid_loader = DataLoader(TableDataset(x[valid], y[valid]), batch_size=100)

model = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Dropout(0.1), nn.Linear(20, 1))
loss_function = nn.HuberLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)

for epoch in range(25):
    model.train()
    train_loss = 0.0
    for features, target in train_loader:
        optimizer.zero_grad()
        loss = loss_function(model(features), target)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() / len(train_loader)
    model.eval()
    with torch.no_grad():
        valid_loss = sum(loss_function(model(features), target).item() for features, target in valid_loader)
    print(f"epoch {epoch}: train {train_loss:.4f}, valid {valid_loss / len(valid_loader):.4f}")
