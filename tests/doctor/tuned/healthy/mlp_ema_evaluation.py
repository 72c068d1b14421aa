"""An MLP tells digits apart; a moving average of its weights is what gets evaluated.

odd: a second copy of the model that no optimizer holds follows the trained one by averaging
model: MLP
source: planted
"""

import copy
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class EMA:
    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for ours, theirs in zip(self.shadow.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - self.decay)


X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
loader = DataLoader(TensorDataset(torch.tensor(X_train), torch.tensor(y_train)), batch_size=32, shuffle=True)
X_val, y_val = torch.tensor(X_val), torch.tensor(y_val)

model = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 64), nn.SiLU(), nn.Linear(64, 10))
ema = EMA(model, decay=0.98)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)

for epoch in range(12):
    model.train()
    running = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
        ema.update(model)
        running += loss.item()
    with torch.no_grad():
        out = ema.shadow(X_val)
        val_loss = cross_entropy(out, y_val).item()
        val_acc = (out.argmax(dim=1) == y_val).float().mean().item()
    print(f"epoch {epoch:2d}  train {running / len(loader):.4f}  averaged: val {val_loss:.4f}, acc {val_acc:.4f}")
