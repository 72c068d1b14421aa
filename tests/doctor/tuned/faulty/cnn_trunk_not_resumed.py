"""Trains a digit classifier, then resumes from its checkpoint; the trunk's names carry the prefix of DataParallel,
so that with strict=False it stays untrained and nobody is told.

code: partial-load
model: CNN
source: pytorch/examples#1029
"""

import io
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class DigitNet(nn.Module):
    def __init__(self, parallel=False):
        super().__init__()
        trunk = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()
        )
        self.trunk = nn.DataParallel(trunk) if parallel else trunk
        self.classifier = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(self.trunk(x).flatten(1))


digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, valid = order[:1350], order[1350:]
loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=45, shuffle=True)


def fit(model, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        validate(model, f"epoch {epoch} lr {lr} train loss {total / len(loader):.3f}")


def validate(model, text):
    model.eval()
    with torch.no_grad():
        scores = model(x[valid])
    accuracy = (scores.argmax(1) == y[valid]).float().mean().item()
    print(f"{text} valid loss {cross_entropy(scores, y[valid]).item():.3f} accuracy {accuracy:.3f}")


first = DigitNet(parallel=True)
fit(first, epochs=4, lr=0.05)
checkpoint = io.BytesIO()
torch.save({"epoch": 4, "state_dict": first.state_dict()}, checkpoint)

checkpoint.seek(0)
saved = torch.load(checkpoint)
resumed = DigitNet()
resumed.load_state_dict(saved["state_dict"], strict=False)
print(f"=> resuming from epoch {saved['epoch']}")
fit(resumed, epochs=3, lr=0.005)
