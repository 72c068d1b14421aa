"""Trains a character GRU whose output layer is its embedding table.

odd: input embedding and output projection are one and the same parameter
model: RNN
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class TiedGRU(nn.Module):
    def __init__(self, n_chars, dim=48):
        super().__init__()
        self.table = nn.Embedding(n_chars, dim)
        nn.init.normal_(self.table.weight, std=0.1)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.out = nn.Linear(dim, n_chars)
        self.out.weight = self.table.weight

    def forward(self, ids):
        hidden, _ = self.rnn(self.table(ids))
        return self.out(hidden)


text = "\n".join(load().DESCR for load in (load_iris, load_digits, load_breast_cancer)).lower()
chars = sorted(set(text))
codes = torch.tensor([chars.index(c) for c in text])
pieces = codes[: len(codes) // 31 * 31].view(-1, 31)
pieces = pieces[torch.randperm(len(pieces))]
n_val = len(pieces) // 8
val, train = pieces[:n_val], pieces[n_val:]


def nll(model, rows):
    return F.cross_entropy(model(rows[:, :-1]).transpose(1, 2), rows[:, 1:])


model = TiedGRU(len(chars))
optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
for epoch in range(12):
    model.train()
    sums = 0.0
    for rows in train[torch.randperm(len(train))].split(24):
        optimizer.zero_grad()
        loss = nll(model, rows)
        loss.backward()
        optimizer.step()
        sums += loss.item() * len(rows)
    model.eval()
    with torch.no_grad():
        print(f"epoch {epoch:2d}: {sums / len(train):.3f} nats, held out {nll(model, val).item():.3f} nats")
