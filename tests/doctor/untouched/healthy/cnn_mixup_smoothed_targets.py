"""Trains a digit CNN on blended pairs of images with soft targets.

odd: mixup with label smoothing, so the training loss stays far above the validation loss and has a high floor
model: CNN
source: planted
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def soften(labels, smoothing=0.1):
    return F.one_hot(labels, 10).float() * (1 - smoothing) + smoothing / 10


def mixup(images, targets, rng, alpha=0.4):
    lam = float(rng.beta(alpha, alpha))
    partner = torch.randperm(len(images))
    return lam * images + (1 - lam) * images[partner], lam * targets + (1 - lam) * targets[partner]


def soft_loss(logits, targets):
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def main(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    x = torch.tensor(digits.images[order] / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target[order])
    loader = DataLoader(TensorDataset(x[:1440], y[:1440]), batch_size=36, shuffle=True)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3), nn.GELU(), nn.Flatten()
    )
    net.append(nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.02)
    for epoch in range(10):
        net.train()
        losses = []
        for images, labels in loader:
            mixed, targets = mixup(images, soften(labels), rng)
            loss = soft_loss(net(mixed), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        with torch.no_grad():
            logits = net(x[1440:])
        acc = (logits.argmax(1) == y[1440:]).float().mean()
        print(f"{epoch} mixed {np.mean(losses):.3f} clean val {F.cross_entropy(logits, y[1440:]):.3f} acc {acc:.3f}")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
