"""Trains a small transformer that reads a digit as eight rows; the class calls super().__init__() first.

fixed: error-super-init
model: Transformer
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class RowTransformer(nn.Module):
    def __init__(self, d_model=32, nhead=4, layers=1, classes=10):
        super().__init__()
        self.project = nn.Linear(8, d_model)
        self.position = nn.Parameter(torch.zeros(1, 8, d_model).normal_(std=0.02))
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.classify = nn.Linear(d_model, classes)

    def forward(self, rows):
        tokens = self.project(rows) + self.position
        return self.classify(self.encoder(tokens).mean(dim=1))


def accuracy_and_loss(model, loader):
    model.eval()
    right, loss = 0, 0.0
    with torch.inference_mode():
        for rows, digit in loader:
            scores = model(rows)
            loss += nn.functional.cross_entropy(scores, digit, reduction="sum").item()
            right += (scores.argmax(dim=1) == digit).sum().item()
    return right / len(loader.dataset), loss / len(loader.dataset)


data = load_digits()
dataset = TensorDataset(torch.tensor(data.images / 8 - 1, dtype=torch.float32), torch.tensor(data.target))
train_set, valid_set = random_split(dataset, [1440, 357])
train_loader = DataLoader(train_set, batch_size=48, shuffle=True)
valid_loader = DataLoader(valid_set, batch_size=119)

model = RowTransformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
for epoch in range(8):
    model.train()
    for rows, digit in train_loader:
        loss = nn.functional.cross_entropy(model(rows), digit)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    accuracy, valid_loss = accuracy_and_loss(model, valid_loader)
    print(f"epoch {epoch} last loss {loss.item():.3f} validation {valid_loss:.3f} accuracy {accuracy:.3f}")
