"""Trains a GRU to foretell the next hour of an electricity load from the last day, reading the windows in order.

odd: the windows of the series are read in their order (a sequential sampler, no shuffling)
model: RNN
source: planted
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)

HOURS, WINDOW = 24 * 90, 24


def electricity_load():
    """Ninety days by the hour: a daily and a weekly wave and noise that lasts some hours."""
    t = np.arange(HOURS)
    load = np.sin(2 * np.pi * t / 24) + 0.4 * np.sin(4 * np.pi * t / 24 + 1) + 0.3 * np.sin(2 * np.pi * t / 168)
    noise = np.zeros(HOURS)
    for hour in range(1, HOURS):
        noise[hour] = 0.7 * noise[hour - 1] + 0.1 * rng.standard_normal()
    return (load + noise).astype(np.float32)


class Windows(Dataset):
    def __init__(self, series):
        self.series = torch.from_numpy(series)

    def __len__(self):
        return len(self.series) - WINDOW

    def __getitem__(self, start):
        window = self.series[start : start + WINDOW]
        return window.unsqueeze(1), self.series[start + WINDOW]


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, x):
        _, last = self.gru(x)
        return self.readout(last[-1]).squeeze(1)


series = electricity_load()
cut = 24 * 70
mean, deviation = series[:cut].mean(), series[:cut].std()
series = (series - mean) / deviation
past, future = Windows(series[:cut]), Windows(series[cut:])
train_loader = DataLoader(past, batch_size=64, sampler=SequentialSampler(past))
valid_loader = DataLoader(future, batch_size=128)

model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
mse = nn.MSELoss()
for epoch in range(8):
    model.train()
    train_error = 0.0
    for window, following in train_loader:
        optimizer.zero_grad()
        loss = mse(model(window), following)
        loss.backward()
        optimizer.step()
        train_error += loss.item() / len(train_loader)
    model.eval()
    with torch.no_grad():
        valid_error = sum(mse(model(w), f).item() * len(f) for w, f in valid_loader) / len(future)
    print(f"epoch {epoch} train mse {train_error:.4f} valid mse {valid_error:.4f}")
