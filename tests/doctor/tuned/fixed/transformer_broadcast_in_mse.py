"""A patch Transformer forecasts the next value of a series; targets take the shape of the outputs.

fixed: broadcast-in-loss
model: Transformer
source: jsboige/CoursIA#926
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


def make_series(n=1400):
    """Two seasons and an autoregressive part."""
    t = np.arange(n)
    noise = np.zeros(n)
    for i in range(1, n):
        noise[i] = 0.7 * noise[i - 1] + 0.15 * rng.standard_normal()
    return np.sin(2 * np.pi * t / 12) + 0.6 * np.cos(2 * np.pi * t / 30) + noise


class Windows(Dataset):
    def __init__(self, values, length):
        self.values = torch.tensor(values, dtype=torch.float32)
        self.length = length

    def __len__(self):
        return len(self.values) - self.length

    def __getitem__(self, i):
        return self.values[i : i + self.length], self.values[i + self.length]


class PatchModel(nn.Module):
    def __init__(self, length=24, patch=4, d_model=16, pred_len=1):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch, d_model)
        self.position = nn.Parameter(0.02 * torch.randn(length // patch, d_model))
        self.encoder = nn.TransformerEncoderLayer(d_model, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(length // patch * d_model, pred_len)

    def forward(self, x):
        h = self.encoder(self.embed(x.unfold(1, self.patch, self.patch)) + self.position)
        return self.head(h.flatten(1))


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total = 0.0
    for x, y in loader:
        pred = model(x)
        loss = criterion(pred, y.view_as(pred))
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(x)
    return total / len(loader.dataset)


series = make_series()
mean, std = series[:1100].mean(), series[:1100].std()
train_loader = DataLoader(Windows((series[:1100] - mean) / std, 24), batch_size=32, shuffle=True)
valid_loader = DataLoader(Windows((series[1100:] - mean) / std, 24), batch_size=64)
model, criterion = PatchModel(), nn.MSELoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(10):
    train_mse = run_epoch(model, train_loader, criterion, optimizer)
    with torch.no_grad():
        valid_mse = run_epoch(model, valid_loader, criterion)
    print(f"epoch {epoch + 1:2d}  train MSE {train_mse:.4f}  valid MSE {valid_mse:.4f}")
