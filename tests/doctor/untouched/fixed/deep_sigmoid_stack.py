"""Trains a nine-layer ReLU network on digits, in all of whose layers gradient arrives.

fixed: vanishing-gradient
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

WIDTH, DEPTH = 40, 9
ACTIVATION = nn.ReLU


def make_net():
    layers = []
    for i in range(DEPTH):
        layers += [nn.Linear(64 if i == 0 else WIDTH, WIDTH), ACTIVATION()]
    layers.append(nn.Linear(WIDTH, 10))
    net = nn.Sequential(*layers)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def accuracy_and_loss(net, loader):
    net.eval()
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            out = net(x)
            loss += nn.functional.cross_entropy(out, y, reduction="sum").item()
            right += (out.argmax(-1) == y).sum().item()
            n += len(y)
    return right / n, loss / n


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    digits = load_digits()
    inputs = torch.tensor((digits.data - 4.88) / 6.02, dtype=torch.float32)
    train, val = random_split(TensorDataset(inputs, torch.tensor(digits.target)), [1417, 380])
    train_loader, val_loader = DataLoader(train, 32, shuffle=True), DataLoader(val, 95)
    net = make_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.003, momentum=0.9)
    for epoch in range(10):
        net.train()
        running = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
        acc, val_loss = accuracy_and_loss(net, val_loader)
        print(f"epoch {epoch}  loss {running / len(train_loader):.3f}  val loss {val_loss:.3f}  val acc {acc:.3f}")
