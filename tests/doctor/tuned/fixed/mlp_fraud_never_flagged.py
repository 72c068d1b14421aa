"""Trains a detector of rare fraudulent payments (2 in 100) with a loss that weighs the two classes equally.

fixed: one-class-predicted
model: MLP
source: planted
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def payments(n):
    """Amount, distance from home, age of the account, ... each scaled to -1 .. 1. Large payments far away are risky."""
    x = torch.rand(n, 6) * 2 - 1
    risk = -6.0 + 5.0 * torch.sigmoid(10 * (x[:, 0] + x[:, 1] - 1.1)) - 0.2 * x[:, 2]
    return x, (torch.rand(n) < torch.sigmoid(risk)).long()


class Detector(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(self.layers(x))


x_train, y_train = payments(8000)
x_valid, y_valid = payments(4000)
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=100, shuffle=True)

counts = torch.bincount(y_train, minlength=2).float()
model = Detector()
criterion = nn.CrossEntropyLoss(weight=counts.sum() / (2 * counts))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)

for epoch in range(6):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        logits = model(x_valid)
        flagged = logits.argmax(1)
        accuracy = (flagged == y_valid).float().mean()
        recall = flagged[y_valid == 1].float().mean()
        false_alarms = flagged[y_valid == 0].float().mean()
        print(
            f"epoch {epoch} loss {total / len(loader):.4f} valid loss {criterion(logits, y_valid):.4f} "
            f"accuracy {accuracy:.3f} fraud found {recall:.3f} false alarms {false_alarms:.3f}"
        )
