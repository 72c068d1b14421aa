"""A small CNN on digits whose last layer begins at zero, so that it starts with equal chances for all classes.

odd: zero-initialised last layer; in the first step the layers below it get no gradient
model: CNN
source: planted
"""

import math
import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.fc = nn.Linear(64, 10)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        return self.fc(torch.flatten(self.conv(x), 1))


digits = load_digits()
x = torch.tensor(digits.images).float().unsqueeze(1).div(16)
train, valid = random_split(TensorDataset(x, torch.tensor(digits.target)), [1437, 360])
train_loader = DataLoader(train, batch_size=48, shuffle=True, drop_last=True)
valid_loader = DataLoader(valid, batch_size=180)

net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
print(f"chance: {math.log(10):.4f}")

for epoch in range(6):
    net.train()
    first, total = None, 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        first = loss.item() if first is None else first
        total += loss.item()
    net.eval()
    valid_loss, hits = 0.0, 0
    with torch.no_grad():
        for images, labels in valid_loader:
            out = net(images)
            valid_loss += criterion(out, labels).item() / len(valid_loader)
            hits += (out.argmax(1) == labels).sum().item()
    print(
        f"epoch {epoch}: first batch {first:.4f}, mean {total / len(train_loader):.4f}, valid {valid_loss:.4f}, "
        f"accuracy {hits / len(valid):.3f}"
    )
