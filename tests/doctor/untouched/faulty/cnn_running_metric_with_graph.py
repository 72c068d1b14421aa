"""Trains a digit CNN with a running-average meter that adds up the losses as they come, graphs and all.

code: loss-keeps-graph
model: CNN
source: horovod/horovod#641
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class Metric:
    def __init__(self):
        self.sum = torch.tensor(0.0)
        self.n = torch.tensor(0.0)

    def update(self, val):
        self.sum += val
        self.n += 1

    @property
    def avg(self):
        return self.sum / self.n


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        h = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.fc(h.flatten(1))


def train(epoch):
    model.train()
    train_loss, train_accuracy = Metric(), Metric()
    for data, target in train_loader:
        optimizer.zero_grad()
        output = model(data)
        loss = F.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        train_accuracy.update((output.argmax(1) == target).float().mean())
        train_loss.update(loss)
    print(f"epoch {epoch} loss {train_loss.avg.item():.4f} accuracy {100 * train_accuracy.avg.item():.1f}%")


def validate(epoch):
    model.eval()
    val_loss, val_accuracy = Metric(), Metric()
    with torch.no_grad():
        for data, target in val_loader:
            output = model(data)
            val_loss.update(F.cross_entropy(output, target))
            val_accuracy.update((output.argmax(1) == target).float().mean())
    print(f"  validation loss {val_loss.avg.item():.4f} accuracy {100 * val_accuracy.avg.item():.1f}%")


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
bunch = load_digits()
full = TensorDataset(torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16, torch.tensor(bunch.target))
train_set, val_set = random_split(full, [1440, 357])
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
val_loader = DataLoader(val_set, batch_size=119)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for epoch in range(1, 6):
    train(epoch)
    validate(epoch)
