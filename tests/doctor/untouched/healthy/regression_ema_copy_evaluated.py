"""Trains a regressor of disease progression and validates a moving average of its weights.

odd: the validated model is an EMA copy that no optimizer holds and that never receives a gradient
model: MLP
source: planted
"""

import copy
import sys

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class EMA:
    def __init__(self, model, decay):
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, live):
        for mine, theirs in zip(self.model.parameters(), live.parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.decay)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

x, y = load_diabetes(return_X_y=True, scaled=False)
x_train, x_val, y_train, y_val = train_test_split(x, y.reshape(-1, 1), test_size=0.25, random_state=seed)
scale_x, scale_y = StandardScaler().fit(x_train), StandardScaler().fit(y_train)
x_train, x_val = (torch.tensor(scale_x.transform(a), dtype=torch.float32) for a in (x_train, x_val))
y_train, y_val = (torch.tensor(scale_y.transform(a), dtype=torch.float32) for a in (y_train, y_val))

net = nn.Sequential(nn.Linear(10, 16), nn.Softplus(), nn.Linear(16, 1))
average = EMA(net, decay=0.98)
optimizer = torch.optim.SGD(net.parameters(), lr=0.006, momentum=0.9, weight_decay=2e-3)

for epoch in range(32):
    net.train()
    total = 0.0
    for rows in torch.randperm(len(x_train)).split(12):
        optimizer.zero_grad()
        loss = nn.functional.huber_loss(net(x_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
        average.update(net)
        total += loss.item() * len(rows)
    average.model.eval()
    with torch.no_grad():
        guess = average.model(x_val)
        val = nn.functional.huber_loss(guess, y_val).item()
        r2 = 1 - ((guess - y_val) ** 2).sum() / ((y_val - y_val.mean()) ** 2).sum()
    print(f"epoch {epoch:2d}: train huber {total / len(x_train):.4f}  averaged val huber {val:.4f}  r2 {r2:.3f}")
