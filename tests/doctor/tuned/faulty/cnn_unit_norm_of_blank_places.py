"""Trains a convolutional net that scales the features of each place to length one; where an image is blank the
length is zero, and the gradient of its square root is NaN.

code: nan-made
model: CNN
source: richzhang/PerceptualSimilarity#69
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def normalize_tensor(in_feat, eps=1e-3):
    norm_factor = torch.sqrt(torch.sum(in_feat**2, dim=1, keepdim=True))
    return in_feat / (norm_factor + eps)


class UnitFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(12, 12, 3, stride=2, padding=1)
        self.out = nn.Linear(12 * 16, 10)

    def forward(self, x):
        x = normalize_tensor(nn.functional.leaky_relu(self.conv1(x), 0.1))
        x = torch.relu(self.conv2(x))
        return self.out(x.flatten(1))


def main():
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None, :, :] / 16
    dataset = TensorDataset(images, torch.tensor(digits.target))
    train_set, val_set = random_split(dataset, [0.8, 0.2])
    train_loader = DataLoader(train_set, batch_size=48, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=120)

    net = UnitFeatures()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for epoch in range(6):
        net.train()
        for step, (image, label) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = criterion(net(image), label)
            loss.backward()
            optimizer.step()
            if step % 15 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.4f}")
        net.eval()
        val_loss, correct = 0.0, 0
        with torch.no_grad():
            for image, label in val_loader:
                scores = net(image)
                val_loss += criterion(scores, label).item() * len(label)
                correct += (scores.argmax(1) == label).sum().item()
        print(f"epoch {epoch} validation loss {val_loss / len(val_set):.4f} accuracy {correct / len(val_set):.3f}")


main()
