"""Trains a digit classifier and evaluates it with Monte Carlo dropout: thirty passes with dropout on, averaged.

odd: the dropout layers are on purpose put back into train mode for the evaluation (Monte Carlo dropout)
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

PASSES = 30


class BayesianMLP(nn.Module):
    """Dropout after each layer, after Gal and Ghahramani (2016): sampling it at test time tells how sure the net is."""

    def __init__(self, p=0.2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p)
        )
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(self.body(x))

    def sample(self, x, passes):
        """Class probabilities of several passes with dropout sampled anew: (passes, batch, classes)."""
        self.eval()
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        return torch.stack([self(x).softmax(dim=-1) for _ in range(passes)])


x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
order = torch.randperm(len(y))
train, valid = order[:1397], order[1397:]
loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=32, shuffle=True)

model = BayesianMLP()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)

for epoch in range(10):
    model.train()
    train_loss = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() / len(loader)
    with torch.no_grad():
        samples = model.sample(x[valid], PASSES)
    mean = samples.mean(dim=0)
    nll = nn.functional.nll_loss(mean.log(), y[valid]).item()
    accuracy = (mean.argmax(1) == y[valid]).float().mean().item()
    spread = samples.std(dim=0).gather(1, mean.argmax(1, keepdim=True)).mean().item()
    print(f"epoch {epoch} loss {train_loss:.3f} | MC nll {nll:.3f} accuracy {accuracy:.3f} spread {spread:.3f}")
