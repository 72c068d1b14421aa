"""A two-layer LSTM of cells reads the rows of a digit one by one; the cells stand in a plain Python list.

code: layers-in-plain-list
model: RNN
source: ikostrikov/pytorch-meta-optimizer#11
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class RowReader(nn.Module):
    def __init__(self, hidden_size=32, num_layers=2):
        super().__init__()
        self.hidden_size = hidden_size
        self.linear1 = nn.Linear(8, hidden_size)
        self.lstms = []
        for _ in range(num_layers):
            self.lstms.append(nn.LSTMCell(hidden_size, hidden_size))
        self.linear2 = nn.Linear(hidden_size, 10)

    def forward(self, rows):
        batch = rows.size(0)
        hx = [torch.zeros(batch, self.hidden_size) for _ in self.lstms]
        cx = [torch.zeros(batch, self.hidden_size) for _ in self.lstms]
        for t in range(rows.size(1)):
            x = torch.tanh(self.linear1(rows[:, t]))
            for i, cell in enumerate(self.lstms):
                hx[i], cx[i] = cell(x, (hx[i], cx[i]))
                x = hx[i]
        return self.linear2(x)


X, y = load_digits(return_X_y=True)
X = torch.tensor(X / 8 - 1, dtype=torch.float32).reshape(-1, 8, 8)
y = torch.tensor(y)
train_ids, val_ids = train_test_split(range(len(y)), test_size=0.2, random_state=seed, stratify=y.numpy())
X_train, y_train, X_val, y_val = X[train_ids], y[train_ids], X[val_ids], y[val_ids]

model = RowReader()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
criterion = nn.CrossEntropyLoss()

for epoch in range(10):
    model.train()
    total = 0.0
    for idx in torch.randperm(len(X_train)).split(64):
        optimizer.zero_grad()
        loss = criterion(model(X_train[idx]), y_train[idx])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)

    model.eval()
    with torch.no_grad():
        logits = model(X_val)
        val_loss = criterion(logits, y_val).item()
        acc = (logits.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch:2d}  train {total / len(X_train):.4f}  val {val_loss:.4f}  acc {acc:.3f}")
