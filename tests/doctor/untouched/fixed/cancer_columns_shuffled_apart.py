"""Trains a tumour classifier on rows and diagnoses shuffled together.

fixed: labels-misaligned
model: MLP
source: planted
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn


def shuffled(rng, *arrays):
    order = rng.permutation(len(arrays[0]))
    return [a[order] for a in arrays]


def batches(n, size):
    order = torch.randperm(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def step(model, optimizer, x, y):
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def test(model, x, y):
    model.eval()
    logits = model(x).squeeze(1)
    right = (logits > 0) == (y > 0.5)
    return nn.functional.binary_cross_entropy_with_logits(logits, y).item(), right.float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("seed", type=int, nargs="?", default=0)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x, y = shuffled(rng, *load_breast_cancer(return_X_y=True))
    n_train = 420
    mu, sigma = x[:n_train].mean(0), x[:n_train].std(0)
    x = torch.as_tensor((x - mu) / sigma, dtype=torch.float32)
    y = torch.as_tensor(y, dtype=torch.float32)

    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for epoch in range(28):
        model.train()
        losses = [step(model, optimizer, x[rows], y[rows]) for rows in batches(n_train, 20)]
        val_loss, val_acc = test(model, x[n_train:], y[n_train:])
        if epoch % 2 == 1:
            print(f"epoch {epoch:2d} train {np.mean(losses):.4f} val {val_loss:.4f} accuracy {val_acc:.3f}")


main()
