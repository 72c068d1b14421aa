"""Fits a regularised logistic regression of tumours with a quasi-Newton method.

odd: LBFGS with a closure on the full data: several forward and backward passes a step, the same batch each time
model: linear
source: planted
"""

import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

data = load_breast_cancer()
x_train, x_test, y_train, y_test = train_test_split(
    torch.tensor(data.data, dtype=torch.float32),
    torch.tensor(data.target, dtype=torch.float32),
    test_size=0.3,
    random_state=seed,
    stratify=data.target,
)
mu, sigma = x_train.mean(dim=0), x_train.std(dim=0)
x_train, x_test = (x_train - mu) / sigma, (x_test - mu) / sigma

model = nn.Linear(30, 1)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, history_size=10)
bce = nn.BCEWithLogitsLoss()


def objective():
    fit = bce(model(x_train).squeeze(1), y_train)
    return fit + 0.01 * model.weight.pow(2).sum()


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
            logits = model(x_test).squeeze(1)
            right = ((logits > 0) == (y_test > 0.5)).float().mean().item()
            print(
                f"step {step}: objective {loss.item():.5f} test loss {bce(logits, y_test).item():.4f} right {right:.3f}"
            )
