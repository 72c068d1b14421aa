"""A confidence head tells malignant from benign; it ends in a sigmoid, and its loss applies a second one.

code: sigmoid-before-bce-with-logits
model: MLP
source: cvg/glue-factory#89
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


class Encoder(nn.Module):
    def __init__(self, n_in, dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU())

    def forward(self, x):
        return self.layers(x)


class Confidence(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Sequential(nn.Linear(dim, 1), nn.Sigmoid())
        self.loss_fn = nn.BCEWithLogitsLoss(reduction="none")

    def forward(self, desc):
        return self.token(desc).squeeze(-1)

    def loss(self, desc, correct):
        return self.loss_fn(self(desc), correct.float()).mean()


X, y = load_breast_cancer(return_X_y=True)
perm = rng.permutation(len(X))
fit, held = perm[:440], perm[440:]
scaler = StandardScaler().fit(X[fit])
X = torch.from_numpy(scaler.transform(X)).float()
y = torch.from_numpy(y)
X_fit, y_fit, X_held, y_held = X[fit], y[fit], X[held], y[held]

encoder, confidence = Encoder(30, 16), Confidence(16)
optimizer = torch.optim.AdamW([*encoder.parameters(), *confidence.parameters()], lr=1e-3, weight_decay=5e-2)

batch_size = 16
for epoch in range(1, 13):
    encoder.train()
    confidence.train()
    losses = []
    for rows in torch.randperm(len(X_fit)).split(batch_size):
        loss = confidence.loss(encoder(X_fit[rows]), y_fit[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    encoder.eval()
    confidence.eval()
    with torch.no_grad():
        desc = encoder(X_held)
        held_loss = confidence.loss(desc, y_held).item()
        right = ((confidence(desc) > 0.5) == y_held.bool()).float().mean().item()
    print(f"{epoch:2d}  fit {np.mean(losses):.4f}  held-out {held_loss:.4f}  right {right:.3f}")
