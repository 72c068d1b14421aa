"""Trains a regularised digit reader and scores it on held-out digits without switching dropout and batch norm over.

code: evaluating-in-train-mode
model: CNN
source: rsommerfeld/trocr#9
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def build_model():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(16 * 4 * 4, 10),
    )


def validate(model, loader, criterion):
    total_loss, total_right, count = 0.0, 0, 0
    with torch.no_grad():
        for pixels, label in loader:
            logits = model(pixels)
            total_loss += criterion(logits, label).item() * len(label)
            total_right += (logits.argmax(dim=1) == label).sum().item()
            count += len(label)
    return total_loss / count, total_right / count


def train(model, train_loader, val_loader, epochs):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        model.train()
        running = 0.0
        for pixels, label in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(pixels), label)
            loss.backward()
            optimizer.step()
            running += loss.item()
        val_loss, val_acc = validate(model, val_loader, criterion)
        print(f"{epoch}: train {running / len(train_loader):.3f} | val {val_loss:.3f} | accuracy {val_acc:.3f}")


digits = load_digits()
everything = TensorDataset(torch.tensor(digits.images).float().unsqueeze(1) / 16, torch.tensor(digits.target))
split = torch.randperm(len(everything)).tolist()
train_loader = DataLoader(Subset(everything, split[:1408]), batch_size=32, shuffle=True)
val_loader = DataLoader(Subset(everything, split[1408:]), batch_size=64)
train(build_model(), train_loader, val_loader, epochs=6)
