"""Trains a new head for even and odd on the frozen backbone of a net that was trained to tell the ten digits.

odd: the backbone gets no gradient, and load_state_dict(strict=False) leaves the head out, which is reported
model: CNN
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ELU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3, padding=1), nn.ELU()
        )
        self.head = nn.Linear(16 * 16, classes)

    def forward(self, x):
        return self.head(self.backbone(x).flatten(1))


digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
digit = torch.tensor(digits.target)
order = torch.randperm(len(x))
pretrain, train, valid = order[:800], order[800:1400], order[1400:]


def train_and_validate(net, parameters, rows, y, epochs, lr):
    loader = DataLoader(TensorDataset(x[rows], y[rows]), batch_size=30, shuffle=True)
    optimizer = torch.optim.Adam(parameters, lr=lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, epochs + 1):
        net.train()
        total = 0.0
        for images, labels in loader:
            loss = criterion(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            scores = net(x[valid])
            accuracy = (scores.argmax(1) == y[valid]).float().mean()
            valid_loss = criterion(scores, y[valid])
        print(f"  {epoch}: train {total / len(loader):.3f} valid {valid_loss:.3f} accuracy {accuracy:.3f}")


print("ten digits")
teacher = Net(classes=10)
train_and_validate(teacher, teacher.parameters(), pretrain, digit, epochs=5, lr=2e-3)
backbone = {name: value for name, value in teacher.state_dict().items() if name.startswith("backbone.")}

print("even or odd, new head")
net = Net(classes=2)
report = net.load_state_dict(backbone, strict=False)
print(f"  loaded {len(backbone)} tensors; new: {report.missing_keys}; unused: {report.unexpected_keys}")
assert all(name.startswith("head.") for name in report.missing_keys)
assert not report.unexpected_keys
net.backbone.requires_grad_(False)
train_and_validate(net, net.head.parameters(), train, digit % 2, epochs=8, lr=5e-3)
