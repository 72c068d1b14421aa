"""Checks that a new convolutional net can learn 32 digits by heart before the real training, as a sanity check.

odd: the whole data is one batch that is meant to be learnt by heart; there is no validation
model: CNN
source: planted
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class CandidateNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.GroupNorm(4, width),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(width * 16, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def one_batch(size=32):
    digits = load_digits()
    rows = torch.randperm(len(digits.target))[:size]
    images = torch.tensor(digits.images, dtype=torch.float32)[rows].unsqueeze(1) / 16
    return images, torch.tensor(digits.target)[rows]


def overfit_one_batch(model, steps=200):
    """If a net can't learn a single batch by heart, there is no use in giving it the rest."""
    images, labels = one_batch()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        scores = model(images)
        loss = criterion(scores, labels)
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == steps - 1:
            accuracy = (scores.argmax(1) == labels).float().mean().item()
            print(f"step {step:3d} loss {loss.item():.4f} accuracy {accuracy:.2f}")
    return loss.item()


final = overfit_one_batch(CandidateNet())
assert final < 0.05, "the net can't even learn one batch"
print("sanity check passed")
