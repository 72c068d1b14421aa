"""A ten-layer network with tanh learns digits by SGD; gradients come down to the first layers.

fixed: vanishing-gradient
model: MLP
source: planted
"""

import sys
from itertools import pairwise

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

WIDTH = 48
DEPTH = 9


class DeepNet(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [64] + [WIDTH] * DEPTH
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.output = nn.Linear(WIDTH, 10)
        for layer in [*self.hidden, self.output]:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.output(x)


features, target = load_digits(return_X_y=True)
X_tr, X_te, y_tr, y_te = train_test_split(features / 8.0 - 1.0, target, test_size=0.25, random_state=seed)
X_tr, X_te = torch.tensor(X_tr).float(), torch.tensor(X_te).float()
y_tr, y_te = torch.tensor(y_tr), torch.tensor(y_te)
batches = DataLoader(TensorDataset(X_tr, y_tr), batch_size=32, shuffle=True)

model = DeepNet()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

for epoch in range(8):
    model.train()
    epoch_loss = 0
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    model.eval()
    with torch.no_grad():
        pred = model(X_te)
    print(
        "Epoch",
        epoch + 1,
        f"train loss {epoch_loss / len(batches):.4f}",
        f"test loss {criterion(pred, y_te).item():.4f}",
        f"test acc {(pred.argmax(1) == y_te).float().mean().item():.3f}",
    )
