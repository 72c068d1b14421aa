"""Trains a digit CNN on pictures under noise, from clean ones to heavily disturbed ones.

odd: curriculum: the training loss rises from stage to stage because the pictures get harder
model: CNN
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

STAGES = [0.05, 0.15, 0.25, 0.35]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU()
        )
        self.line = nn.Linear(256, 10)

    def forward(self, x):
        return self.line(self.conv(x).flatten(1))


def disturb(x, strength):
    return x + strength * torch.randn_like(x)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    digits = load_digits()
    perm = torch.randperm(len(digits.target))
    x = torch.tensor(digits.images, dtype=torch.float32)[perm].unsqueeze(1) / 16
    y = torch.tensor(digits.target)[perm]
    x_val, y_val = disturb(x[1440:], STAGES[-1]), y[1440:]
    net = Reader()
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    for stage, strength in enumerate(STAGES):
        for epoch in range(2):
            net.train()
            seen = 0.0
            for rows in torch.randperm(1440).split(45):
                loss = F.cross_entropy(net(disturb(x[rows], strength)), y[rows])
                opt.zero_grad()
                loss.backward()
                opt.step()
                seen += loss.item() / 32
            net.eval()
            with torch.no_grad():
                out = net(x_val)
                val = F.cross_entropy(out, y_val)
                acc = (out.argmax(1) == y_val).float().mean()
            print(f"stage {stage}.{epoch} noise {strength:.2f}: loss {seen:.3f}, hardest: {val:.3f}, {acc:.3f} right")


main()
