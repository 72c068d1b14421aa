"""An MLP sorts the digits; the validation cross-entropy is given outputs that went through a softmax already.

code: softmax-before-cross-entropy
model: MLP
source: ariecattan/SciCo#2
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class MulticlassModel(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_features, hidden), nn.GELU(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x):
        return self.mlp(x)

    def training_step(self, batch):
        x, y = batch
        return self.criterion(self(x), y)

    def validation_step(self, batch):
        x, y = batch
        logits = self(x)
        scores = torch.softmax(logits, dim=-1)
        loss = self.criterion(scores, y)
        hits = (scores.argmax(dim=-1) == y).sum().item()
        return loss.item() * len(y), hits


def loaders():
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    parts = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=y)
    x_train, x_val, y_train, y_val = (torch.as_tensor(part) for part in parts)
    train = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    return train, DataLoader(TensorDataset(x_val, y_val), batch_size=64)


train_loader, val_loader = loaders()
model = MulticlassModel(64, 64, 10)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(10):
    model.train()
    running = 0.0
    for batch in train_loader:
        optimizer.zero_grad()
        loss = model.training_step(batch)
        loss.backward()
        optimizer.step()
        running += loss.item()

    model.eval()
    total, correct = 0.0, 0
    with torch.no_grad():
        for batch in val_loader:
            batch_loss, hits = model.validation_step(batch)
            total += batch_loss
            correct += hits
    n = len(val_loader.dataset)
    print(f"epoch {epoch}: train {running / len(train_loader):.4f}  val {total / n:.4f}  acc {correct / n:.3f}")
