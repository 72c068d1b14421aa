"""Trains an LSTM that reads digits row by row, with a permute to the time-first layout.

fixed: examples-mixed
model: RNN
source: vitrioil/Speech-Separation#4
"""

import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class RowReader(nn.Module):
    def __init__(self, features=8, hidden=40, classes=10):
        super().__init__()
        self.rnn = nn.LSTM(features, hidden, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, images):
        steps = images.permute(1, 0, 2)
        _, (h, _) = self.rnn(steps)
        return self.fc(torch.cat([h[0], h[1]], dim=1))


def run_epoch(model, x, y, criterion, optimizer=None, size=40):
    model.train(optimizer is not None)
    order = torch.randperm(len(x)) if optimizer is not None else torch.arange(len(x))
    total, right = 0.0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for idx in order.split(size):
            logits = model(x[idx])
            loss = criterion(logits, y[idx])
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(idx)
            right += (logits.argmax(1) == y[idx]).sum().item()
    return total / len(x), right / len(x)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16.0
labels = torch.tensor(digits.target)
x_train, x_val, y_train, y_val = train_test_split(images, labels, test_size=0.2, random_state=seed, stratify=labels)

model = RowReader()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
for epoch in range(8):
    train_loss, train_acc = run_epoch(model, x_train, y_train, criterion, optimizer)
    val_loss, val_acc = run_epoch(model, x_val, y_val, criterion)
    print(f"{epoch}: train {train_loss:.3f}/{train_acc:.3f}  val {val_loss:.3f}/{val_acc:.3f}")
