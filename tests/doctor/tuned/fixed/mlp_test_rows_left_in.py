"""Trains a digit classifier on the rows that aren't in the test set.

fixed: test-rows-in-training
model: MLP
source: stefyste/RIAWELC#2
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, Subset, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

pixels, digit = load_digits(return_X_y=True)
everything = TensorDataset(torch.tensor(pixels / 16 - 0.3, dtype=torch.float32), torch.tensor(digit))

order = torch.randperm(len(everything)).tolist()
test_part = Subset(everything, order[:400])
train_part = Subset(everything, order[400:])

train_batches = DataLoader(train_part, batch_size=50, shuffle=True)
test_batches = DataLoader(test_part, batch_size=200)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 40)
        self.drop = nn.Dropout(0.1)
        self.scores = nn.Linear(40, 10)

    def forward(self, x):
        return self.scores(self.drop(torch.tanh(self.hidden(x))))


def run(model, batches, optimizer=None):
    """One pass over the batches: with an optimizer it learns, without it only measures. Gives loss and accuracy."""
    learns = optimizer is not None
    model.train(learns)
    loss_sum, right, rows = 0.0, 0, 0
    with torch.set_grad_enabled(learns):
        for x, y in batches:
            scores = model(x)
            loss = nn.functional.cross_entropy(scores, y)
            if learns:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(y)
            right += (scores.argmax(1) == y).sum().item()
            rows += len(y)
    return loss_sum / rows, right / rows


classifier = Classifier()
adam = optim.Adam(classifier.parameters(), lr=2e-3)
print(f"{len(train_part)} rows to train, {len(test_part)} to test")
for epoch in range(14):
    train_loss, train_acc = run(classifier, train_batches, adam)
    test_loss, test_acc = run(classifier, test_batches)
    print(f"{epoch:2d} train {train_loss:.3f} ({train_acc:.3f}) test {test_loss:.3f} ({test_acc:.3f})")
