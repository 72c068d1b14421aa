"""An MLP tells benign from malignant tumours; the weight decay is mild.

fixed: weight-decay-dominates
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
scaler = StandardScaler().fit(X_train)
X_train = torch.tensor(scaler.transform(X_train), dtype=torch.float32)
X_valid = torch.tensor(scaler.transform(X_valid), dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.float32)
y_valid = torch.tensor(y_valid, dtype=torch.float32)

model = nn.Sequential(
    nn.Linear(30, 32),
    nn.ReLU(),
    nn.Linear(32, 16),
    nn.ReLU(),
    nn.Linear(16, 1),
)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-3)
loader = DataLoader(TensorDataset(X_train, y_train), batch_size=8, shuffle=True)

history = []
for epoch in range(8):
    model.train()
    epoch_loss = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        logits = model(xb).squeeze(1)
        loss = criterion(logits, yb)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * xb.size(0)

    model.eval()
    with torch.no_grad():
        logits = model(X_valid).squeeze(1)
        valid_loss = criterion(logits, y_valid).item()
        valid_acc = ((logits > 0) == (y_valid > 0.5)).float().mean().item()
    history.append(valid_loss)
    print(f"epoch {epoch:2d}: train {epoch_loss / len(X_train):.4f} valid {valid_loss:.4f} acc {valid_acc:.3f}")

print(f"best validation loss {min(history):.4f}")
