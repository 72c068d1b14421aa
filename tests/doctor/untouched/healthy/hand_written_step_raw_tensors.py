"""Trains a two-layer classifier of wines from raw tensors with a hand-written momentum step.

odd: no nn.Module and no torch.optim: leaf tensors are updated in place under no_grad, gradients set to None by hand
model: MLP
source: planted
"""

import math
import sys

import torch
from sklearn.datasets import load_wine

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
g = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)

x, y = load_wine(return_X_y=True)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
order = torch.randperm(len(x), generator=g)
train, test = order[:133], order[133:]
x = (x - x[train].mean(0)) / x[train].std(0)


def leaf(*shape):
    return (torch.randn(*shape, generator=g) / math.sqrt(shape[0])).requires_grad_()


w1, w2 = leaf(13, 20), leaf(20, 3)
b1, b2 = torch.zeros(20, requires_grad=True), torch.zeros(3, requires_grad=True)
params = [w1, b1, w2, b2]
velocity = [torch.zeros_like(p) for p in params]
lr, momentum, decay = 0.05, 0.9, 1e-3


def forward(rows):
    return torch.tanh(rows @ w1 + b1) @ w2 + b2


def cross_entropy(logits, target):
    shifted = logits - logits.logsumexp(dim=1, keepdim=True)
    return -shifted[torch.arange(len(target)), target].mean()


for epoch in range(20):
    total = 0.0
    for idx in train[torch.randperm(len(train), generator=g)].split(19):
        loss = cross_entropy(forward(x[idx]), y[idx])
        loss.backward()
        with torch.no_grad():
            for p, v in zip(params, velocity, strict=True):
                v.mul_(momentum).add_(p.grad + decay * p)
                p.sub_(lr * v)
                p.grad = None
        total += loss.item() * len(idx)
    with torch.no_grad():
        out = forward(x[test])
        val = cross_entropy(out, y[test]).item()
        right = (out.argmax(1) == y[test]).float().mean().item()
    if epoch % 2 == 1:
        print(f"epoch {epoch:2d}  train {total / len(train):.4f}  test {val:.4f}  right {right:.3f}")
