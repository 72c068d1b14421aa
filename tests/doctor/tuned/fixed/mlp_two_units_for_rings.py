"""Trains a net with 32 hidden units to tell three nested rings apart.

fixed: model-too-small
model: MLP
source: planted
"""

import math
import sys

import torch
from torch.nn import CrossEntropyLoss, Linear, Sequential, Tanh

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
gen = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)

HIDDEN = 32


def rings(n):
    ring = torch.randint(3, (n,), generator=gen)
    angle = torch.rand(n, generator=gen) * 2 * math.pi
    radius = 0.4 + 0.6 * ring + 0.1 * torch.randn(n, generator=gen)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), ring


points, ring = rings(1200)
test_points, test_ring = rings(400)

model = Sequential(Linear(2, HIDDEN), Tanh(), Linear(HIDDEN, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
criterion = CrossEntropyLoss()

step = 0
for epoch in range(25):
    model.train()
    for rows in torch.randperm(len(points), generator=gen).split(40):
        optimizer.zero_grad()
        loss = criterion(model(points[rows]), ring[rows])
        loss.backward()
        optimizer.step()
        step += 1
    model.eval()
    with torch.no_grad():
        answer = model(test_points)
        test_loss = criterion(answer, test_ring)
        accuracy = (answer.argmax(1) == test_ring).double().mean()
    if epoch % 4 == 0:
        print(f"step {step:4d} loss {loss.item():.3f} test loss {test_loss.item():.3f} accuracy {accuracy.item():.3f}")
