"""Trains a small digit classifier although a third of the training labels were replaced at random.

odd: noisy training labels: the training loss stays high while clean held-out digits are read well
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class NoisyDigits(Dataset):
    def __init__(self, x, y, noise):
        self.x = x
        wrong = torch.rand(len(y)) < noise
        self.y = torch.where(wrong, torch.randint(10, y.shape), y)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
data, target = load_digits(return_X_y=True)
order = torch.randperm(len(target))
x, y = torch.tensor(data).float()[order] / 16, torch.tensor(target)[order]
loader = DataLoader(NoisyDigits(x[:1400], y[:1400], noise=0.33), batch_size=50, shuffle=True)
x_val, y_val = x[1400:], y[1400:]

model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.8, weight_decay=2e-3)
for epoch in range(18):
    model.train()
    mean = 0.0
    for xb, yb in loader:
        loss = nn.functional.cross_entropy(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean += loss.item() / len(loader)
    model.eval()
    with torch.no_grad():
        out = model(x_val)
        clean = nn.functional.cross_entropy(out, y_val).item()
        acc = (out.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch}: noisy train loss {mean:.3f}, clean val loss {clean:.3f}, clean accuracy {acc:.3f}")
