"""A CNN gives features and class log-probabilities of digits; its log_softmax runs over the classes.

fixed: softmax-over-batch
model: CNN
source: perone/euclidesdb#2
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class FeatureModel(nn.Module):
    """Gives class log-probabilities and the features to be put in the index."""

    def __init__(self, dim=32, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(12 * 16, dim),
            nn.Tanh(),
        )
        self.classifier = nn.Linear(dim, classes)

    def forward(self, x):
        features = self.features(x)
        predictions = F.log_softmax(self.classifier(features), dim=1)
        return predictions, features


def batches(x, y, size, shuffle):
    order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
    for rows in order.split(size):
        yield x[rows], y[rows]


bunch = load_digits()
x = torch.tensor(bunch.images).float().div(16).unsqueeze(1)
y = torch.tensor(bunch.target)
mix = torch.randperm(len(x))
x, y = x[mix], y[mix]
x_train, y_train, x_test, y_test = x[:1440], y[:1440], x[1440:], y[1440:]

model = FeatureModel()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

for epoch in range(1, 9):
    model.train()
    train_loss = 0.0
    for xb, yb in batches(x_train, y_train, 36, shuffle=True):
        predictions, _ = model(xb)
        loss = F.nll_loss(predictions, yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * len(xb) / len(x_train)

    model.eval()
    test_loss, accuracy = 0.0, 0.0
    with torch.no_grad():
        for xb, yb in batches(x_test, y_test, 51, shuffle=False):
            predictions, _ = model(xb)
            test_loss += F.nll_loss(predictions, yb).item() * len(xb) / len(x_test)
            accuracy += (predictions.argmax(1) == yb).sum().item() / len(x_test)
    print(f"epoch {epoch} train loss {train_loss:.3f} test loss {test_loss:.3f} accuracy {accuracy:.3f}")
