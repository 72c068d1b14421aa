"""A convolutional classifier of digits with SGD, whose gradients are cleared with each batch.

fixed: zero-grad-misplaced
model: CNN
source: salesforce/corr_based_prediction#1
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)


class Digits(Dataset):
    def __init__(self, rows):
        data = load_digits()
        self.images = (data.images[rows] / 8.0 - 1.0).astype(np.float32)
        self.labels = data.target[rows]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return torch.from_numpy(self.images[i]).unsqueeze(0), int(self.labels[i])


def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
        nn.LogSoftmax(dim=1),
    )


def train(model, loader, optimizer):
    model.train()
    losses = []
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.mean(losses)


@torch.no_grad()
def test(model, loader):
    model.eval()
    loss, hits = 0.0, 0
    for x, y in loader:
        out = model(x)
        loss += F.nll_loss(out, y, reduction="sum").item()
        hits += int((out.argmax(1) == y).sum())
    return loss / len(loader.dataset), hits / len(loader.dataset)


order = np.random.permutation(1797)
train_loader = DataLoader(Digits(order[:1437]), batch_size=32, shuffle=True)
test_loader = DataLoader(Digits(order[1437:]), batch_size=64)
model = build()
optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
for epoch in range(10):
    train_loss = train(model, train_loader, optimizer)
    test_loss, accuracy = test(model, test_loader)
    print(f"Epoch {epoch + 1}: train {train_loss:.4f}, test {test_loss:.4f}, accuracy {accuracy:.2%}")
