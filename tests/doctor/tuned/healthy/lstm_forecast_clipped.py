"""An LSTM forecasts the next value of a noisy seasonal series; its gradients are clipped before each step.

odd: clip_grad_norm_ between backward and step, where it belongs
model: RNN
source: planted
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
rng = np.random.default_rng(seed)
torch.manual_seed(seed)


def series(length):
    t = np.arange(length)
    seasons = np.sin(2 * np.pi * t / 24) * (1 + 0.3 * np.sin(2 * np.pi * t / 168)) + 0.5 * np.cos(2 * np.pi * t / 7)
    return (seasons + 0.15 * rng.standard_normal(length)).astype(np.float32)


class Windows(Dataset):
    def __init__(self, values, length=24):
        self.values = torch.from_numpy(values)
        self.length = length

    def __len__(self):
        return len(self.values) - self.length

    def __getitem__(self, i):
        return self.values[i : i + self.length, None], self.values[i + self.length, None]


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(out[:, -1])


values = series(1600)
past, future = values[:1280], values[1280:]
mean, std = past.mean(), past.std()
train_loader = DataLoader(Windows((past - mean) / std), batch_size=32, shuffle=True)
val_loader = DataLoader(Windows((future - mean) / std), batch_size=128)

model = Forecaster()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for epoch in range(8):
    model.train()
    losses = []
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        errors = torch.cat([(model(x) - y) ** 2 for x, y in val_loader])
    print(f"epoch {epoch}: train mse {np.mean(losses):.4f}, later part mse {errors.mean().item():.4f}")
