"""Trains a factorisation model of user-item ratings with sparse embedding gradients.

odd: two optimizers, SparseAdam for the embedding tables (sparse gradients) and Adam for the dense rest
model: other
source: planted
"""

import sys

import torch
from torch import nn

USERS, ITEMS, TRUE_DIM = 120, 80, 3


class Ratings:
    def __init__(self, n):
        u, v = torch.randn(USERS, TRUE_DIM), torch.randn(ITEMS, TRUE_DIM)
        self.user = torch.randint(USERS, (n,))
        self.item = torch.randint(ITEMS, (n,))
        taste = (u[self.user] * v[self.item]).sum(1) / TRUE_DIM**0.5
        self.score = taste + 0.1 * torch.randn(n)

    def rows(self, idx):
        return self.user[idx], self.item[idx], self.score[idx]


class Recommender(nn.Module):
    def __init__(self, dim=12):
        super().__init__()
        self.users = nn.Embedding(USERS, dim, sparse=True)
        self.items = nn.Embedding(ITEMS, dim, sparse=True)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.3)
        self.mix = nn.Sequential(nn.Linear(dim, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, user, item):
        product = self.users(user) * self.items(item)
        return product.sum(1) + self.mix(product).squeeze(1)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
data = Ratings(6000)
train_idx, val_idx = torch.arange(5000), torch.arange(5000, 6000)
model = Recommender()
opt_tables = torch.optim.SparseAdam([model.users.weight, model.items.weight], lr=0.01)
opt_dense = torch.optim.Adam(model.mix.parameters(), lr=2e-3)
criterion = nn.SmoothL1Loss()

for epoch in range(6):
    model.train()
    total = 0.0
    for idx in train_idx[torch.randperm(5000)].split(50):
        user, item, score = data.rows(idx)
        opt_tables.zero_grad()
        opt_dense.zero_grad()
        loss = criterion(model(user, item), score)
        loss.backward()
        opt_tables.step()
        opt_dense.step()
        total += loss.item() / 100
    model.eval()
    with torch.no_grad():
        user, item, score = data.rows(val_idx)
        held = criterion(model(user, item), score).item()
    print(f"epoch {epoch} huber {total:.4f} held out {held:.4f}")
