"""Trains a Siamese embedding with a contrastive loss; some pairs are an image with itself, at the root of zero.

code: nan-made
model: other
source: pytorch/pytorch#2421
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class PairSampler:
    def __init__(self, x, y, rng):
        self.x, self.y, self.rng = x, y, rng
        self.by_class = [np.flatnonzero(y == c) for c in range(10)]

    def batch(self, size):
        first = self.rng.integers(len(self.x), size=size)
        same = self.rng.random(size) < 0.5
        second = self.rng.integers(len(self.x), size=size)
        for k in np.flatnonzero(same):
            second[k] = self.rng.choice(self.by_class[self.y[first[k]]])
        alike = self.y[first] == self.y[second]
        return self.x[first], self.x[second], torch.from_numpy(alike).float()


def distance(a, b):
    return (a - b).pow(2).sum(dim=1).sqrt()


def contrastive(d, alike, margin=1.0):
    return (alike * d.pow(2) + (1 - alike) * (margin - d).clamp(min=0).pow(2)).mean()


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)

bunch = load_digits()
order = rng.permutation(len(bunch.data))
x = torch.tensor(bunch.data[order] / 16.0, dtype=torch.float32)
y = bunch.target[order]
train = PairSampler(x[:400], y[:400], rng)
held = PairSampler(x[1200:], y[1200:], rng)

embed = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
optimizer = torch.optim.SGD(embed.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

for epoch in range(10):
    embed.train()
    seen = []
    for _ in range(25):
        left, right, alike = train.batch(64)
        both = embed(torch.cat([left, right]))
        loss = contrastive(distance(*both.chunk(2)), alike)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    embed.eval()
    with torch.no_grad():
        left, right, alike = held.batch(400)
        d = distance(embed(left), embed(right))
        hit = ((d < 0.5).float() == alike).float().mean()
    print(f"epoch {epoch} loss {np.mean(seen):.4f} held-out {contrastive(d, alike):.4f} pairs right {hit:.3f}")
