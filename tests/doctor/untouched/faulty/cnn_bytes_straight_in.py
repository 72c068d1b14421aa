"""Trains a small CNN on digit images stored as bytes, with the grey values 0..255 going in as they are.

code: inputs-not-scaled
model: CNN
source: stackoverflow/questions#55328966
"""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class ByteImages(Dataset):
    def __init__(self, images, labels):
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).float()
        return image[None], int(self.labels[index])


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 10, kernel_size=3)
        self.c2 = nn.Conv2d(10, 16, kernel_size=3)
        self.f1 = nn.Linear(256, 32)
        self.f2 = nn.Linear(32, 10)

    def forward(self, x):
        x = torch.tanh(self.c1(x))
        x = torch.tanh(self.c2(x))
        x = torch.tanh(self.f1(torch.flatten(x, 1)))
        return self.f2(x)


def evaluate(model, loader):
    model.eval()
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            out = model(images)
            loss += F.cross_entropy(out, labels, reduction="sum").item()
            right += int((out.argmax(1) == labels).sum())
            n += len(labels)
    return loss / n, right / n


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    digits = load_digits()
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    order = np.random.RandomState(seed).permutation(len(grey))
    fit, held = order[:1440], order[1440:]
    train_loader = DataLoader(ByteImages(grey[fit], digits.target[fit]), batch_size=32, shuffle=True)
    test_loader = DataLoader(ByteImages(grey[held], digits.target[held]), batch_size=64)
    model = SmallCNN()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(8):
        model.train()
        for images, labels in train_loader:
            sgd.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            sgd.step()
        test_loss, acc = evaluate(model, test_loader)
        print(f"epoch {epoch}: last loss {loss.item():.3f}, test loss {test_loss:.3f}, accuracy {acc:.3f}")


main()
