"""Trains a digit classifier with batch norm on batches of 20 samples.

fixed: tiny-batch-norm
model: MLP
source: planted
"""

import sys
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Args:
    seed: int = 0
    batch_size: int = 20
    epochs: int = 5
    lr: float = 0.02


args = Args(seed=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
perm = torch.randperm(len(x))
train, valid = perm[:480], perm[480:880]
train_loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=args.batch_size, shuffle=True, drop_last=True)


def layer(n_in, n_out):
    return [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]


model = nn.Sequential(*layer(64, 48), *layer(48, 32), nn.Linear(32, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    mean_loss = 0.0
    for inputs, targets in train_loader:
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean_loss += loss.item() / len(train_loader)
    model.eval()
    with torch.no_grad():
        outputs = model(x[valid])
        valid_loss = criterion(outputs, y[valid]).item()
        valid_acc = (outputs.argmax(1) == y[valid]).float().mean().item()
    print(f"epoch={epoch} train_loss={mean_loss:.3f} valid_loss={valid_loss:.3f} valid_acc={valid_acc:.3f}")
