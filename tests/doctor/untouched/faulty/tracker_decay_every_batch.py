"""Trains a two-frame tracker that regresses where a blob moved; its epoch schedule is advanced after every batch.

code: scheduler-per-batch
model: CNN
source: amoudgl/pygoturn#16
"""

import argparse

import torch
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description="two-frame blob tracker")
parser.add_argument("seed", type=int, nargs="?", default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--learning-rate", type=float, default=3e-3)
parser.add_argument("--lr-decay-step", type=int, default=4, help="epochs between two decays")
parser.add_argument("--gamma", type=float, default=0.4)
GRID = torch.arange(12.0)


def frame(centre):
    dy = GRID[None, :, None] - centre[:, 0, None, None]
    dx = GRID[None, None, :] - centre[:, 1, None, None]
    return torch.exp(-(dy**2 + dx**2) / 4.0) + 0.1 * torch.randn(len(centre), 12, 12)


def clips(n):
    before = 4 + 3 * torch.rand(n, 2)
    shift = 6 * torch.rand(n, 2) - 3
    return TensorDataset(torch.stack([frame(before), frame(before + shift)], dim=1), shift / 3)


class GoNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU()
        )
        self.regress = nn.Sequential(nn.Flatten(), nn.Linear(16 * 36, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, pair):
        return self.regress(self.features(pair))


def main():
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loader = DataLoader(clips(1024), batch_size=args.batch_size, shuffle=True)
    held_x, held_y = clips(256).tensors
    net = GoNet()
    criterion = nn.L1Loss()
    optimizer = optim.Adam(net.parameters(), lr=args.learning_rate)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=args.lr_decay_step, gamma=args.gamma)
    for epoch in range(args.epochs):
        net.train()
        running = 0.0
        for pair, shift in loader:
            optimizer.zero_grad()
            loss = criterion(net(pair), shift)
            loss.backward()
            optimizer.step()
            running += loss.item()
            scheduler.step()
        net.eval()
        with torch.no_grad():
            val = criterion(net(held_x), held_y).item()
        print(f"[{epoch}] train l1 {running / len(loader):.4f}  val l1 {val:.4f}")


main()
