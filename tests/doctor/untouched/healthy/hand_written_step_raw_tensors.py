"""Trains a two-layer classifier of digits from raw tensors with a hand-written momentum step.

odd: no nn.Module and no torch.optim: leaf tensors are updated in place under no_grad, gradients set to None by hand
model: MLP
source: planted
"""

import math
import sys

import torch
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
g = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)

x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
order = torch.randperm(len(x), generator=g)
train, test = order[:1440], order[1440:]
x = x / 8 - 1


def leaf(*shape):
    return (torch.randn(*shape, generator=g) / math.sqrt(shape[0])).requires_grad_()


w1, w2 = leaf(64, 32), leaf(32, 10)
b1, b2 = torch.zeros(32, requires_grad=True), torch.zeros(10, requires_grad=True)
params = [w1, b1, w2, b2]
velocity = [torch.zeros_like(p) for p in params]
lr, momentum, decay = 0.02, 0.9, 1e-3


def forward(rows):
    return torch.tanh(rows @ w1 + b1) @ w2 + b2


def cross_entropy(logits, target):
    shifted = logits - logits.logsumexp(dim=1, keepdim=True)
    return -shifted[torch.arange(len(target)), target].mean()


for epoch in range(24):
    total = 0.0
    for idx in train[torch.randperm(len(train), generator=g)].split(36):
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
