"""Fits a regularised softmax regression of digits with a quasi-Newton method.

odd: LBFGS with a closure on the full data: several forward and backward passes a step, the same batch each time
model: linear
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

data = load_digits()
x_train, x_test, y_train, y_test = train_test_split(
    torch.tensor(data.data, dtype=torch.float32) / 16,
    torch.tensor(data.target),
    test_size=0.3,
    random_state=seed,
    stratify=data.target,
)

model = nn.Linear(64, 10)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, history_size=10)
cross_entropy = nn.CrossEntropyLoss()


def objective():
    fit = cross_entropy(model(x_train), y_train)
    return fit + 1e-3 * model.weight.pow(2).sum()


def closure():
    optimizer.zero_grad()
    loss = objective()
    loss.backward()
    return loss


for step in range(1, 81):
    model.train()
    loss = optimizer.step(closure)
    if step % 8 == 0:
        model.eval()
        with torch.no_grad():
            logits = model(x_test)
            test_loss = cross_entropy(logits, y_test).item()
            right = (logits.argmax(1) == y_test).float().mean().item()
        print(f"step {step}: objective {loss.item():.5f} test loss {test_loss:.4f} right {right:.3f}")
