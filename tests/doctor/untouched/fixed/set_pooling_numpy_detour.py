"""Trains a set regressor whose per-element encoder is max-pooled in torch, so that it is trained too.

fixed: gradient-cut
model: other
source: planted
"""

import sys

import numpy as np
import torch
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


def make_bag():
    """A bag of 2-d points; its value is a mix of an extreme point and the spread along a diagonal."""
    points = rng.normal(size=(rng.integers(4, 12), 2)).astype(np.float32)
    score = points @ np.array([0.8, -0.6], dtype=np.float32)
    return torch.from_numpy(points), float(score.max() + 0.5 * np.abs(points).min(axis=1).max())


def make_bags(n):
    bags, values = zip(*(make_bag() for _ in range(n)), strict=True)
    return list(bags), torch.tensor(values)


encoder = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 8))
regressor = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam([*encoder.parameters(), *regressor.parameters()], lr=3e-3)


def predict(bags):
    sizes = [len(b) for b in bags]
    encoded = encoder(torch.cat(bags))
    pooled = torch.stack([part.amax(dim=0) for part in encoded.split(sizes)])
    return regressor(pooled).flatten()


train_bags, train_values = make_bags(800)
val_bags, val_values = make_bags(200)
centre, spread = train_values.mean(), train_values.std()
train_values, val_values = (train_values - centre) / spread, (val_values - centre) / spread

for epoch in range(12):
    encoder.train()
    regressor.train()
    total = 0.0
    for idx in torch.randperm(800).split(32):
        guess = predict([train_bags[i] for i in idx])
        loss = ((guess - train_values[idx]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    encoder.eval()
    regressor.eval()
    with torch.no_grad():
        val = ((predict(val_bags) - val_values) ** 2).mean().item()
    print(f"epoch {epoch:2d}: train mse {total / 800:.4f}, val mse {val:.4f}")
