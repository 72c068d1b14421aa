"""Trains a digit MLP through a data module whose training loader reads the class-by-class folder in order.

code: not-shuffled
model: MLP
source: choderalab/modelforge#129
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class DataModule:
    """Collects the examples folder by folder, one folder a class, and keeps every fifth one for validation."""

    def __init__(self, batch_size=32):
        self.batch_size = batch_size

    def setup(self):
        digits = load_digits()
        folders = [digits.data[digits.target == c] for c in range(10)]
        parts = {"train": ([], []), "val": ([], [])}
        for label, rows in enumerate(folders):
            for i, row in enumerate(rows):
                xs, ys = parts["val" if i % 5 == 4 else "train"]
                xs.append(torch.tensor(row, dtype=torch.float32) / 16)
                ys.append(label)
        self.train, self.val = (TensorDataset(torch.stack(xs), torch.tensor(ys)) for xs, ys in parts.values())

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=128)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 48), nn.SiLU(), nn.Linear(48, 10))
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch):
        x, y = batch
        return self.criterion(self.layers(x), y)

    def validation_step(self, batch):
        x, y = batch
        logits = self.layers(x)
        return self.criterion(logits, y).item() * len(y), (logits.argmax(1) == y).sum().item()


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
dm = DataModule()
dm.setup()
net = Classifier()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
for epoch in range(12):
    net.train()
    losses = []
    for batch in dm.train_dataloader():
        loss = net.training_step(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    net.eval()
    with torch.no_grad():
        sums = torch.tensor([net.validation_step(b) for b in dm.val_dataloader()]).sum(0) / len(dm.val)
    print(f"epoch {epoch:2d}: loss {torch.stack(losses).mean():.4f} val loss {sums[0]:.4f} val acc {sums[1]:.3f}")
