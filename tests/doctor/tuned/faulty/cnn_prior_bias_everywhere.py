"""Ten one-against-all detectors of digits; the bias for the rare-class prior is set in the layers before the ReLUs too.

code: dead-relu
model: CNN
source: planted
"""

import math
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import init

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
np.random.seed(seed)

PRIOR = 0.1


def prior_bias(module):
    init.constant_(module.bias, -math.log((1 - PRIOR) / PRIOR))


def build_model(n_classes, channels=8):
    net = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(2 * channels * 16, n_classes),
    )
    for m in net:
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            init.kaiming_normal_(m.weight, nonlinearity="relu")
            init.zeros_(m.bias)
            prior_bias(m)
    return net


def batches(x, y, size):
    order = np.random.permutation(len(x))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield x[rows], y[rows]


digits = load_digits()
X = torch.as_tensor(digits.images[:, None] / 16, dtype=torch.float32)
labels = torch.as_tensor(digits.target)
Y = nn.functional.one_hot(labels, 10).float()
rows = np.random.permutation(len(X))
fit, held = rows[:1437], rows[1437:]

net = build_model(10)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3)

for epoch in range(10):
    net.train()
    losses = []
    for xb, yb in batches(X[fit], Y[fit], 32):
        optimizer.zero_grad()
        loss = criterion(net(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        scores = net(X[held])
        held_loss = criterion(scores, Y[held]).item()
        top = (scores.argmax(1) == labels[held]).float().mean().item()
    print(f"{epoch:3d} bce {np.mean(losses):.4f} held-out {held_loss:.4f} top-1 {top:.3f}")
