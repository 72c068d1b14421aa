"""An MLP names digits by classification: ten outputs and cross-entropy.

fixed: regression-on-classes
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

x, labels = load_digits(return_X_y=True)
x = torch.from_numpy(x).float()
labels = torch.from_numpy(labels)
shuffled = torch.randperm(len(x))
tr, va = shuffled[:1500], shuffled[1500:]
x = (x - x[tr].mean(dim=0)) / (x[tr].std(dim=0) + 1.0)
train_dl = DataLoader(TensorDataset(x[tr], labels[tr]), batch_size=30, shuffle=True)

net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
loss_func = nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)


def loss_on(output, label):
    return loss_func(output, label)


def classes_of(output):
    return output.argmax(dim=1)


for epoch in range(8):
    net.train()
    summed = 0.0
    for image, label in train_dl:
        opt.zero_grad()
        loss = loss_on(net(image), label)
        loss.backward()
        opt.step()
        summed += loss.item()
    net.eval()
    with torch.no_grad():
        output = net(x[va])
        val_loss = loss_on(output, labels[va]).item()
        accuracy = (classes_of(output) == labels[va]).float().mean().item()
    print(f"epoch {epoch:2d} loss {summed / len(train_dl):.3f} val_loss {val_loss:.3f} accuracy {accuracy:.3f}")
