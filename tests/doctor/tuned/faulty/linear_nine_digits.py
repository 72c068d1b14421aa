"""Trains a linear classifier of the ten digits with nine outputs, so that the label 9 is out of range.

code: error-label-range
model: linear
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

NUM_CLASSES = 9
LEARNING_RATE = 0.1

bunch = load_digits()
x = torch.as_tensor(bunch.data, dtype=torch.float32).div(16)
y = torch.as_tensor(bunch.target)
shuffle = torch.randperm(y.numel())
x_train, y_train = x[shuffle[:1300]], y[shuffle[:1300]]
x_dev, y_dev = x[shuffle[1300:]], y[shuffle[1300:]]

model = torch.nn.Linear(x.shape[1], NUM_CLASSES)
sgd = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=20)


def dev_scores():
    model.eval()
    with torch.no_grad():
        logits = model(x_dev)
        return F.cross_entropy(logits, y_dev).item(), (logits.argmax(1) == y_dev).float().mean().item()


for epoch in range(20):
    model.train()
    permutation = torch.randperm(len(x_train))
    epoch_loss = 0.0
    for i in range(0, len(x_train), 50):
        indices = permutation[i : i + 50]
        loss = F.cross_entropy(model(x_train[indices]), y_train[indices])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        epoch_loss += loss.item() * len(indices)
    scheduler.step()
    dev_loss, dev_accuracy = dev_scores()
    print(f"epoch {epoch:2d} loss {epoch_loss / len(x_train):.4f} dev loss {dev_loss:.4f} accuracy {dev_accuracy:.3f}")
