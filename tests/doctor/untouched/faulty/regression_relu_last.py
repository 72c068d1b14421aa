"""Trains a network to fit a surface that dips below zero, with a ReLU after the last layer.

code: output-out-of-reach
model: MLP
source: stackoverflow/questions#48251943
"""

import sys

import torch
from torch import nn, optim
from torch.nn.functional import mse_loss, relu

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def surface(points):
    a, b, c = points.unbind(dim=1)
    return torch.sin(2.0 * a) + 0.5 * b * c


class Fit(nn.Module):
    def __init__(self, inputs=3, width=40):
        super().__init__()
        self.linear1 = nn.Linear(inputs, width)
        self.linear2 = nn.Linear(width, width)
        self.linear3 = nn.Linear(width, 1)

    def forward(self, x):
        x = relu(self.linear1(x))
        x = relu(self.linear2(x))
        x = relu(self.linear3(x))
        return x[:, 0]


train_x = torch.rand(1200, 3) * 3 - 1.5
train_y = surface(train_x) + 0.05 * torch.randn(1200)
valid_x = torch.rand(300, 3) * 3 - 1.5
valid_y = surface(valid_x)

net = Fit()
opt = optim.Adam(net.parameters(), lr=4e-3)
batch = 40
for epoch in range(1, 21):
    net.train()
    perm = torch.randperm(len(train_x))
    epoch_loss = 0.0
    for start in range(0, len(perm), batch):
        pick = perm[start : start + batch]
        opt.zero_grad()
        loss = mse_loss(net(train_x[pick]), train_y[pick])
        loss.backward()
        opt.step()
        epoch_loss += loss.item() * len(pick) / len(perm)
    net.eval()
    with torch.no_grad():
        v = mse_loss(net(valid_x), valid_y).item()
    if epoch % 2 == 0:
        print(f"epoch {epoch:2d}   train mse {epoch_loss:.4f}   valid mse {v:.4f}   (variance {valid_y.var():.3f})")
