"""A LeNet-like network on digits with plain SGD and a learning rate that suits it.

fixed: lr-too-high
model: CNN
source: planted
"""

import sys
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


@dataclass
class Config:
    seed: int = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    lr: float = 0.2
    batch_size: int = 32
    epochs: int = 10


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=3, padding=1),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, kernel_size=3),
            nn.LeakyReLU(0.1),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.1), nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


def fit(cfg):
    torch.manual_seed(cfg.seed)
    raw = load_digits()
    pixels = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 8 - 1
    train, val = random_split(TensorDataset(pixels, torch.tensor(raw.target)), [1440, 357])
    train_dl = DataLoader(train, cfg.batch_size, shuffle=True)
    val_dl = DataLoader(val, 128)

    model = LeNet()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr)
    for epoch in range(cfg.epochs):
        model.train()
        losses = []
        for x, y in train_dl:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

        model.eval()
        val_loss = hits = 0.0
        with torch.no_grad():
            for x, y in val_dl:
                logits = model(x)
                val_loss += loss_fn(logits, y).item() * len(y) / len(val)
                hits += (logits.argmax(1) == y).sum().item() / len(val)
        print(f"epoch {epoch}  train {sum(losses) / len(losses):.3f}  val {val_loss:.3f}  acc {hits:.3f}")


fit(Config())
