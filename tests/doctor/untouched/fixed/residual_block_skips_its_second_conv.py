"""Trains a small residual network on digits whose blocks run both of their convolutions.

fixed: module-never-used
model: CNN
source: planted
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(4, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return F.relu(x + h)


class TinyResNet(nn.Module):
    def __init__(self, channels: int = 12, blocks: int = 2):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.head = nn.Linear(channels * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = F.avg_pool2d(self.blocks(F.relu(self.stem(x))), 2)
        return self.head(h.flatten(1))


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", nargs="?", default=0, type=int)
    parser.add_argument("--epochs", default=4, type=int)
    parser.add_argument("--lr", default=2e-3, type=float)
    return parser.parse_args()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    bunch = load_digits()
    order = torch.randperm(len(bunch.target))
    images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1)[order] / 8.0 - 1.0
    labels = torch.tensor(bunch.target)[order]
    net = TinyResNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        net.train()
        mean_loss = 0.0
        batches = torch.randperm(1440).split(40)
        for rows in batches:
            loss = F.cross_entropy(net(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mean_loss += loss.item() / len(batches)
        net.eval()
        with torch.no_grad():
            out = net(images[1440:])
            val = F.cross_entropy(out, labels[1440:]).item()
            acc = (out.argmax(1) == labels[1440:]).float().mean().item()
        print(f"epoch {epoch + 1}/{args.epochs} loss {mean_loss:.3f} val {val:.3f} acc {acc:.3f}")


if __name__ == "__main__":
    main()
