"""Trains a convolutional net on digits stored class by class, as image folders are, with a loader that reads them
in that order.

code: not-shuffled
model: CNN
source: Deci-AI/super-gradients#416
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class DigitFolder(Dataset):
    """Digits listed like an image folder: all of class 0 first, then all of class 1, and so on."""

    def __init__(self, train):
        digits = load_digits()
        pixels = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
        self.samples = []
        for label in range(10):
            members = [pixels[i] for i in (digits.target == label).nonzero()[0]]
            self.samples += [(image, label) for i, image in enumerate(members) if (i % 4 < 3) == train]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


dataloader_params = {"batch_size": 32}
train_loader = DataLoader(DigitFolder(train=True), **dataloader_params)
valid_loader = DataLoader(DigitFolder(train=False), batch_size=150)

model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.GELU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1),
    nn.GELU(),
    nn.Flatten(),
    nn.Linear(16 * 16, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=1e-4)
criterion = nn.CrossEntropyLoss()

for epoch in range(6):
    model.train()
    train_loss = 0.0
    for images, targets in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), targets)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
    model.eval()
    correct, valid_loss, seen = 0, 0.0, 0
    with torch.no_grad():
        for images, targets in valid_loader:
            out = model(images)
            valid_loss += criterion(out, targets).item() * len(targets)
            correct += (out.argmax(1) == targets).sum().item()
            seen += len(targets)
    print(
        f"[{epoch}] train loss {train_loss / len(train_loader):.3f} | "
        f"valid loss {valid_loss / seen:.3f} | top1 {100 * correct / seen:.1f}"
    )
