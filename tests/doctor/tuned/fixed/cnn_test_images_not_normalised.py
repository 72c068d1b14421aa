"""Trains a small residual net on digits; training and test images are normalised alike.

fixed: split-mismatch
model: CNN
source: JeasunLok/ResNet-pytorch#1
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def to_tensor(image):
    return torch.from_numpy(image).float().unsqueeze(0) / 16


class Digits(Dataset):
    def __init__(self, rows, transform):
        digits = load_digits()
        self.images, self.labels = digits.images[rows], digits.target[rows]
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(self.images[i]), int(self.labels[i])


class SmallResNet(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.stem = nn.Conv2d(1, c, 3, padding=1)
        self.a, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.head = nn.Linear(c * 16, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = F.relu(x + self.b(F.relu(self.a(x))))
        return self.head(x.flatten(1))


rows = torch.randperm(1797).numpy()
pixels = torch.from_numpy(load_digits().images[rows[:1300]]).float() / 16
mean, std = pixels.mean(), pixels.std()


def normalised(image):
    return (to_tensor(image) - mean) / std


train_loader = DataLoader(Digits(rows[:1300], normalised), batch_size=50, shuffle=True)
test_loader = DataLoader(Digits(rows[1300:], normalised), batch_size=497)

model = SmallResNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
for epoch in range(6):
    model.train()
    hits = 0
    for x, y in train_loader:
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hits += (logits.argmax(1) == y).sum().item()
    model.eval()
    with torch.no_grad():
        for x, y in test_loader:
            logits = model(x)
            test_loss, test_acc = F.cross_entropy(logits, y), (logits.argmax(1) == y).float().mean()
    print(f"epoch {epoch} loss {loss:.3f} train acc {hits / 1300:.3f} test loss {test_loss:.3f} acc {test_acc:.3f}")
