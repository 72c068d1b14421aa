"""A small residual network on digits whose second convolution in each block reads what the first one gives.

fixed: module-never-used
model: CNN
source: shaohua0116/Multiview2Novelview#11
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x):
        h = self.act(self.conv1(x))
        h = self.conv2(h)
        return self.act(h + x)


class ResNet(nn.Module):
    def __init__(self, channels=8, blocks=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, stride=2, padding=1), nn.LeakyReLU(0.1))
        self.blocks = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])
        self.head = nn.Linear(channels * 4 * 4, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).flatten(1))


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total_loss = total_right = total = 0
    with torch.set_grad_enabled(optimizer is not None):
        for x, y in loader:
            logits = model(x)
            loss = criterion(logits, y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total_loss += loss.item() * len(y)
            total_right += (logits.argmax(1) == y).sum().item()
            total += len(y)
    return total_loss / total, total_right / total


def main():
    bunch = load_digits()
    x = torch.tensor((bunch.images - 4.9) / 6.0, dtype=torch.float32)[:, None]
    y = torch.tensor(bunch.target)
    rows = torch.randperm(len(x))
    train = DataLoader(TensorDataset(x[rows[:1350]], y[rows[:1350]]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(x[rows[1350:]], y[rows[1350:]]), batch_size=200)
    model = ResNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(6):
        train_loss, train_acc = run_epoch(model, train, criterion, optimizer)
        val_loss, val_acc = run_epoch(model, val, criterion)
        print(f"{epoch}: train {train_loss:.3f} ({train_acc:.1%}), val {val_loss:.3f} ({val_acc:.1%})")


main()
