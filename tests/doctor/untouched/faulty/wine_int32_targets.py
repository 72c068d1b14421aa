"""Trains a wine classifier whose labels come out of a compact table as 32-bit integers, which the loss refuses.

code: error-dtype
model: linear
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, Dataset


class WineTable(Dataset):
    """Rows of a structured array, the way they come out of a database dump."""

    def __init__(self, table, mean, std):
        self.features = torch.from_numpy((table["features"] - mean) / std)
        self.labels = torch.from_numpy(table["label"].copy())

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return self.features[row], self.labels[row]


def read_table():
    x, y = load_wine(return_X_y=True)
    table = np.zeros(len(x), dtype=[("features", np.float32, 13), ("label", np.int32)])
    table["features"], table["label"] = x, y
    return table


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
table = read_table()[np.random.default_rng(seed).permutation(178)]
mean, std = table["features"][:130].mean(axis=0), table["features"][:130].std(axis=0)
train = DataLoader(WineTable(table[:130], mean, std), batch_size=10, shuffle=True)
val = DataLoader(WineTable(table[130:], mean, std), batch_size=48)

model = nn.Linear(13, 3)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
for epoch in range(64):
    model.train()
    total = 0.0
    for features, labels in train:
        optimizer.zero_grad()
        loss = loss_fn(model(features), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        features, labels = next(iter(val))
        scores = model(features)
        acc = (scores.argmax(1) == labels).float().mean().item()
    if epoch % 8 == 7:
        val_loss = loss_fn(scores, labels).item()
        print(f"epoch {epoch}: loss {total / len(train):.4f}, validation {val_loss:.4f}, accuracy {acc:.3f}")
