"""Trains a digit classifier with an auxiliary head on the middle layer, whose loss is switched on after the warm-
up.

odd: the auxiliary head's parameters are in the optimizer from the start, but its loss only joins in epoch 3
model: CNN
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

AUX_FROM_EPOCH = 3
AUX_WEIGHT = 0.3


class DeepSupervised(nn.Module):
    def __init__(self):
        super().__init__()
        self.lower = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2))
        self.upper = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.SiLU(), nn.Flatten())
        self.head = nn.Linear(16 * 16, 10)
        self.auxiliary = nn.Linear(8 * 16, 10)

    def forward(self, x, with_auxiliary=False):
        middle = self.lower(x)
        scores = self.head(self.upper(middle))
        return (scores, self.auxiliary(middle.flatten(1))) if with_auxiliary else scores


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16 - 0.3
train_set, valid_set = random_split(TensorDataset(images, torch.tensor(digits.target)), [1437, 360])
train_loader = DataLoader(train_set, batch_size=48, shuffle=True)
valid_loader = DataLoader(valid_set, batch_size=180)

model = DeepSupervised()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(1, 8):
    deep = epoch >= AUX_FROM_EPOCH
    model.train()
    total = 0.0
    for x, y in train_loader:
        if deep:
            scores, early_scores = model(x, with_auxiliary=True)
            main_loss = F.cross_entropy(scores, y)
            loss = main_loss + AUX_WEIGHT * F.cross_entropy(early_scores, y)
        else:
            main_loss = loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += main_loss.item()
    model.eval()
    with torch.no_grad():
        pairs = [(model(x), y) for x, y in valid_loader]
        valid = sum(F.cross_entropy(s, y).item() for s, y in pairs) / len(pairs)
        accuracy = sum((s.argmax(1) == y).sum().item() for s, y in pairs) / len(valid_set)
    print(f"epoch {epoch}{' +aux' if deep else ''}: {total / len(train_loader):.3f} / {valid:.3f}, {accuracy:.3f}")
