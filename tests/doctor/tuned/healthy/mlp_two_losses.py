"""One encoder with two heads names the digit and redraws it; the two losses are summed with weights.

odd: two losses of different size and kind, weighted and summed into one backward
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

WEIGHTS = {"class": 1.0, "picture": 5.0}


class TwoHeads(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.SiLU())
        self.heads = nn.ModuleDict({"class": nn.Linear(hidden, 10), "picture": nn.Linear(hidden, 64)})

    def forward(self, x):
        h = self.encoder(x)
        return {name: head(h) for name, head in self.heads.items()}


def compute_losses(outputs, x, y):
    return {
        "class": nn.functional.cross_entropy(outputs["class"], y),
        "picture": nn.functional.mse_loss(outputs["picture"], x),
    }


def weighted(losses):
    return sum(WEIGHTS[name] * value for name, value in losses.items())


def main():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    order = torch.randperm(len(x))
    loader = DataLoader(TensorDataset(x[order[:1400]], y[order[:1400]]), batch_size=35, shuffle=True)
    x_val, y_val = x[order[1400:]], y[order[1400:]]

    model = TwoHeads()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(10):
        model.train()
        sums = dict.fromkeys(WEIGHTS, 0.0)
        for xb, yb in loader:
            losses = compute_losses(model(xb), xb, yb)
            optimizer.zero_grad()
            weighted(losses).backward()
            optimizer.step()
            for name, value in losses.items():
                sums[name] += value.item() / len(loader)
        model.eval()
        with torch.no_grad():
            outputs = model(x_val)
            val = compute_losses(outputs, x_val, y_val)
            acc = (outputs["class"].argmax(1) == y_val).float().mean()
        shown = " ".join(f"{name} {sums[name]:.4f}/{val[name].item():.4f}" for name in WEIGHTS)
        print(f"epoch {epoch}: {shown} (train/val), accuracy {acc:.3f}")


main()
