"""Trains on digits 0-4, then on all ten with a fresh head that is put in after the second optimizer was made.

code: optimizer-holds-old-parameters
model: MLP
source: planted
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

X, y = load_digits(return_X_y=True)
X = torch.tensor(X, dtype=torch.float32) / 16
y = torch.tensor(y)
shuffle = torch.randperm(len(X))
X, y = X[shuffle], y[shuffle]
is_train = torch.arange(len(X)) < 1430
few = y < 5


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU())
        self.head = nn.Linear(32, n_classes)

    def forward(self, x):
        return self.head(self.features(x))


def fit(net, optimizer, train_mask, val_mask, epochs, title):
    xt, yt, xv, yv = X[train_mask], y[train_mask], X[val_mask], y[val_mask]
    ce = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(xt)).split(32):
            optimizer.zero_grad()
            loss = ce(net(xt[rows]), yt[rows])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            out = net(xv)
        acc = (out.argmax(1) == yv).float().mean()
        print(f"{title} {epoch}: loss {loss.item():.3f} val loss {ce(out, yv).item():.3f} val accuracy {acc:.3f}")


net = Net(5)
optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
fit(net, optimizer, is_train & few, ~is_train & few, 8, "five digits")

optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
net.head = nn.Linear(32, 10)
fit(net, optimizer, is_train, ~is_train, 12, "ten digits")
