"""An LSTM tells three kinds of series apart; every loss is detached before it is appended to a list.

fixed: losses-kept
model: RNN
source: planted
"""

import math
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def make(n, length=20):
    kind = torch.randint(0, 3, (n,))
    t = torch.linspace(0, 1, length)
    slope = (0.8 + 0.8 * torch.rand(n, 1)) * (t - 0.5)
    wave = torch.sin(2 * math.pi * (torch.rand(n, 1) + 2 * t))
    series = torch.where(kind[:, None] == 2, wave, torch.where(kind[:, None] == 0, slope, -slope))
    return (series + 0.4 * torch.randn(n, length)).unsqueeze(-1), kind


class SeriesClassifier(nn.Module):
    def __init__(self, hidden=16, classes=3):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])


train_data = DataLoader(TensorDataset(*make(1000)), batch_size=40, shuffle=True)
x_val, y_val = make(300)

model = SeriesClassifier()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

history = []
for epoch in range(8):
    model.train()
    for x, y in train_data:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        history.append(loss.detach())

    model.eval()
    with torch.no_grad():
        scores = model(x_val)
        val_loss = criterion(scores, y_val).item()
        val_acc = (scores.argmax(1) == y_val).float().mean().item()
    recent = torch.stack(history[-len(train_data) :]).mean().item()
    print(f"Epoch {epoch + 1}: train loss {recent:.4f} | val loss {val_loss:.4f} | val acc {val_acc:.3f}")

curve = [loss.item() for loss in history]
print(f"{len(curve)} steps, best training loss {min(curve):.4f}")
