"""Trains a small convolutional net on digits whose annotation file numbers the classes 1 to 10, shifted to 0 to 9.

fixed: labels-from-one
model: CNN
source: pytorch/pytorch#15666
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class DigitNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 2 * 2, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.gelu(self.conv1(x)), 2)
        x = F.max_pool2d(F.gelu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


digits = load_digits()
annotations = digits.target + 1  # the annotation tool numbers its classes from 1
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
labels = torch.from_numpy(annotations - 1)
num_classes = int(labels.max()) + 1

train_set, valid_set = random_split(TensorDataset(images, labels), [1400, len(images) - 1400])
train_loader = DataLoader(train_set, batch_size=40, shuffle=True)
valid_loader = DataLoader(valid_set, batch_size=200)

model = DigitNet(num_classes)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
print(f"{num_classes} classes, {sum(p.numel() for p in model.parameters())} parameters")

for epoch in range(1, 8):
    model.train()
    total = 0.0
    for image, label in train_loader:
        loss = F.cross_entropy(model(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(label)
    model.eval()
    valid, hits = 0.0, 0
    with torch.no_grad():
        for image, label in valid_loader:
            logits = model(image)
            valid += F.cross_entropy(logits, label, reduction="sum").item()
            hits += (logits.argmax(1) == label).sum().item()
    n = len(valid_set)
    print(f"Epoch {epoch}: loss={total / len(train_set):.4f} val_loss={valid / n:.4f} val_acc={hits / n:.3f}")
