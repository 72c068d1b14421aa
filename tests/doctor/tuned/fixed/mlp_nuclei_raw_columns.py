"""Trains a classifier of benign and malignant tumours on the 30 measured columns, standardised with the training
rows.

fixed: inputs-not-scaled
model: MLP
source: stackoverflow 44066044
"""

import sys

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

tumours = load_breast_cancer()
features = torch.tensor(tumours.data, dtype=torch.float32)
labels = torch.tensor(tumours.target)
order = torch.randperm(len(features))
train_rows, valid_rows = order[:432], order[432:]
mean, std = features[train_rows].mean(0), features[train_rows].std(0)
features = (features - mean) / std

train_loader = DataLoader(TensorDataset(features[train_rows], labels[train_rows]), batch_size=16, shuffle=True)
valid_x, valid_y = features[valid_rows], labels[valid_rows]

net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.03)

for epoch in range(15):
    net.train()
    running = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    net.eval()
    with torch.no_grad():
        scores = net(valid_x)
        valid_loss = criterion(scores, valid_y).item()
        accuracy = (scores.argmax(1) == valid_y).float().mean().item()
    print(f"epoch {epoch + 1}: train {running / len(train_loader):.4f} valid {valid_loss:.4f} accuracy {accuracy:.3f}")
