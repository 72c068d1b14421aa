"""An MLP finds the nines among the digits (one in ten) with a focal loss written by hand on the logits.

odd: focal loss - sigmoid, powers and weights by hand; a tiny loss from the start and rare positives
model: MLP
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class FocalLoss(nn.Module):
    def __init__(self, alpha=0.75, gamma=2.0):
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits, targets):
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        p = torch.sigmoid(logits)
        positive = -self.alpha * (1 - p) ** self.gamma * log_p * targets
        negative = -(1 - self.alpha) * p**self.gamma * log_not_p * (1 - targets)
        return (positive + negative).mean()


X, digit = load_digits(return_X_y=True)
nine = (digit == 9).astype("float32")
X_tr, X_va, y_tr, y_va = train_test_split(
    X.astype("float32") / 16, nine, test_size=0.2, stratify=nine, random_state=seed
)
X_tr, X_va, y_tr, y_va = map(torch.from_numpy, (X_tr, X_va, y_tr, y_va))

model = nn.Sequential(nn.Linear(64, 20), nn.LeakyReLU(0.1), nn.Linear(20, 1))
loss_fn = FocalLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

for epoch in range(10):
    model.train()
    total = 0.0
    for idx in torch.randperm(len(X_tr)).split(32):
        optimizer.zero_grad()
        loss = loss_fn(model(X_tr[idx]).squeeze(1), y_tr[idx])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    scheduler.step()

    model.eval()
    with torch.no_grad():
        logits = model(X_va).squeeze(1)
        val_loss = loss_fn(logits, y_va).item()
    found = ((logits > 0) & (y_va > 0)).sum().item()
    ap = average_precision_score(y_va.numpy(), logits.numpy())
    print(
        f"epoch {epoch + 1:2d} train {total / len(X_tr):.5f} val {val_loss:.5f} "
        f"found {found}/{int(y_va.sum())} average precision {ap:.3f}"
    )
