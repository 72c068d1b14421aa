"""An MLP predicts the standardised progress of diabetes; a last ReLU keeps it from giving negative numbers.

code: output-out-of-reach
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.relu(self.fc3(x))


def load():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    order = torch.randperm(len(x))
    train, val = order[:352], order[352:]
    x = (x - x[train].mean(0)) / x[train].std(0)
    y = (y - y[train].mean()) / y[train].std()
    return TensorDataset(x[train], y[train]), TensorDataset(x[val], y[val])


def train_one_epoch(model, loader, loss_fn, optimizer):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    return total / len(loader.dataset)


@torch.no_grad()
def validate(model, loader, loss_fn):
    model.eval()
    total = sum(loss_fn(model(xb), yb).item() * len(xb) for xb, yb in loader)
    return total / len(loader.dataset)


train_set, val_set = load()
train_loader = DataLoader(train_set, batch_size=16, shuffle=True)
val_loader = DataLoader(val_set, batch_size=90)
model = Net(10, 16)
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3)
for epoch in range(15):
    train_loss = train_one_epoch(model, train_loader, loss_fn, optimizer)
    val_loss = validate(model, val_loader, loss_fn)
    if epoch % 2 == 0:
        print(f"epoch {epoch:3d} | train mse {train_loss:.4f} | val mse {val_loss:.4f}")
