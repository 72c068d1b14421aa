"""Trains a detector of the digit 7 hidden among the others, at one positive in ten.

odd: strongly unbalanced classes drawn evenly (and with repetition) by a WeightedRandomSampler
model: MLP
source: planted
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(SEED)

digits = load_digits()
is_seven = (digits.target == 7).astype(np.int64)
perm = np.random.default_rng(SEED).permutation(len(is_seven))
tr, te = perm[:1350], perm[1350:]
to_x = lambda rows: torch.from_numpy(digits.data[rows]).float().div(16)  # noqa: E731
to_y = lambda rows: torch.from_numpy(is_seven[rows]).float()  # noqa: E731

frequency = np.bincount(is_seven[tr]) / len(tr)
sampler = WeightedRandomSampler(weights=1.0 / frequency[is_seven[tr]], num_samples=len(tr), replacement=True)
loader = DataLoader(TensorDataset(to_x(tr), to_y(tr)), batch_size=45, sampler=sampler)

detector = nn.Sequential(nn.Linear(64, 24), nn.LeakyReLU(), nn.Dropout(0.2), nn.Linear(24, 1), nn.Flatten(0))
bce = nn.BCEWithLogitsLoss()
opt = torch.optim.SGD(detector.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-3)

for epoch in range(14):
    detector.train()
    total = 0.0
    for x, y in loader:
        opt.zero_grad()
        loss = bce(detector(x), y)
        loss.backward()
        opt.step()
        total += loss.item()
    detector.eval()
    with torch.no_grad():
        score = detector(to_x(te))
        val = bce(score, to_y(te)).item()
    ap = average_precision_score(is_seven[te], score.numpy())
    print(f"epoch {epoch}: loss {total / len(loader):.4f}  val loss {val:.4f}  average precision {ap:.3f}")
