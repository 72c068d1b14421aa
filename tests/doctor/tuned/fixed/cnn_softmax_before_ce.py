"""A CNN sorts the digits; its forward ends in plain scores, which cross-entropy expects.

fixed: softmax-before-cross-entropy
model: CNN
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class DigitNet(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.n_classes = n_classes
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 2 * 2, n_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        out = self.fc(x.flatten(1))
        return out.view(-1, self.n_classes)


def evaluate(net, loader):
    net.eval()
    loss, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            out = net(images)
            loss += F.cross_entropy(out, labels, reduction="sum").item()
            correct += (out.argmax(1) == labels).sum().item()
            seen += len(labels)
    return loss / seen, correct / seen


def main():
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    train_idx, val_idx = order[:1400], order[1400:]
    train = DataLoader(TensorDataset(images[train_idx], labels[train_idx]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(images[val_idx], labels[val_idx]), batch_size=100)

    net = DigitNet()
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(8):
        net.train()
        total = 0.0
        for xb, yb in train:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            total += loss.item() * len(xb)
        val_loss, val_acc = evaluate(net, val)
        print(f"[{epoch + 1}/8] loss={total / 1400:.3f} val_loss={val_loss:.3f} val_acc={val_acc:.1%}")


if __name__ == "__main__":
    main()
