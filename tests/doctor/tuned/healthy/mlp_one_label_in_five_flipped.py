"""Trains a digit classifier for a few epochs on labels of which a fifth was replaced at random, a study of label
noise.

odd: a fifth of the training labels is wrong on purpose, so the training loss stays high and above the validation loss
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
np.random.seed(seed)

NOISE = 0.2


class NoisyDigits(Dataset):
    """Digits whose label is, with probability `noise`, one of the nine wrong ones."""

    def __init__(self, x, y, noise=0.0):
        self.x = torch.from_numpy(x)
        wrong = (y + np.random.randint(1, 10, size=len(y))) % 10
        self.y = torch.from_numpy(np.where(np.random.rand(len(y)) < noise, wrong, y))

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)
order = np.random.permutation(len(y))
train, valid = order[:1400], order[1400:]
train_loader = DataLoader(NoisyDigits(x[train], y[train], NOISE), batch_size=28, shuffle=True)
valid_loader = DataLoader(NoisyDigits(x[valid], y[valid]), batch_size=len(valid))

model = nn.Sequential(nn.Linear(64, 32), nn.ELU(), nn.Dropout(0.1), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5, weight_decay=1e-3)
criterion = nn.CrossEntropyLoss()

for epoch in range(9):
    model.train()
    running = 0.0
    for inputs, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
    model.eval()
    with torch.no_grad():
        for inputs, labels in valid_loader:
            outputs = model(inputs)
            valid_loss = criterion(outputs, labels).item()
            accuracy = (outputs.argmax(1) == labels).float().mean().item()
    print(
        f"epoch {epoch}: noisy training loss {running / len(train_loader):.3f}, "
        f"clean validation loss {valid_loss:.3f}, accuracy {accuracy:.3f}"
    )
