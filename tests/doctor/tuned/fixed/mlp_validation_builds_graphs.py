"""Trains a classifier of tumours; the validation pass runs under no_grad.

fixed: evaluating-with-gradients
model: MLP
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class TumourNet(nn.Module):
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.fc1 = nn.Linear(n_in, n_hidden)
        self.fc2 = nn.Linear(n_hidden, 1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        x = self.dropout(F.gelu(self.fc1(x)))
        return self.fc2(x).squeeze(1)


def batches(x, y, size, shuffle):
    order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
    for rows in order.split(size):
        yield x[rows], y[rows]


@torch.no_grad()
def validate(model, x, y):
    model.eval()
    loss_sum, hits = 0.0, 0
    for xb, yb in batches(x, y, 64, shuffle=False):
        logits = model(xb)
        loss_sum += F.binary_cross_entropy_with_logits(logits, yb, reduction="sum").item()
        hits += ((logits > 0) == (yb > 0.5)).sum().item()
    return loss_sum / len(x), hits / len(x)


def main():
    x, y = load_breast_cancer(return_X_y=True)
    x_tr, x_va, y_tr, y_va = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x_tr)
    x_tr, x_va = (torch.tensor(scaler.transform(part), dtype=torch.float32) for part in (x_tr, x_va))
    y_tr, y_va = (torch.tensor(part, dtype=torch.float32) for part in (y_tr, y_va))

    model = TumourNet(30, 24)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3)
    for epoch in range(18):
        model.train()
        running = 0.0
        for xb, yb in batches(x_tr, y_tr, 16, shuffle=True):
            loss = F.binary_cross_entropy_with_logits(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item() * len(xb)
        val_loss, val_acc = validate(model, x_va, y_va)
        print(f"{epoch + 1:3d}  loss {running / len(x_tr):.4f}  val_loss {val_loss:.4f}  val_acc {val_acc:.4f}")


if __name__ == "__main__":
    main()
