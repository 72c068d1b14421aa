"""Trains a Transformer encoder to name the most frequent symbol of a sequence.

odd: the schedule (linear warm-up from zero, then cosine to zero) is meant to be stepped once a batch
model: Transformer
source: planted
"""

import math
import sys

import torch
from torch import nn

SYMBOLS, LENGTH, EPOCHS, BATCH = 6, 15, 6, 32


def sequences(n):
    seqs = torch.randint(SYMBOLS, (n * 2, LENGTH))
    counts = nn.functional.one_hot(seqs, SYMBOLS).sum(1)
    top = counts.topk(2, dim=1).values
    clear = top[:, 0] > top[:, 1]
    return seqs[clear][:n], counts.argmax(1)[clear][:n]


class Counter(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, dim)
        self.position = nn.Parameter(0.1 * torch.randn(LENGTH, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.head = nn.Linear(dim, SYMBOLS)

    def forward(self, seqs):
        return self.head(self.encoder(self.embed(seqs) + self.position).mean(dim=1))


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
train_x, train_y = sequences(1280)
val_x, val_y = sequences(300)
model = Counter()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
total_steps = EPOCHS * math.ceil(len(train_x) / BATCH)
warmup = total_steps // 10


def factor(step):
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))


scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
for epoch in range(EPOCHS):
    model.train()
    for idx in torch.randperm(len(train_x)).split(BATCH):
        loss = nn.functional.cross_entropy(model(train_x[idx]), train_y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.no_grad():
        scores = model(val_x)
        val = nn.functional.cross_entropy(scores, val_y)
        right = (scores.argmax(1) == val_y).float().mean()
    print(f"epoch {epoch} lr {scheduler.get_last_lr()[0]:.5f} loss {loss:.3f} val {val:.3f} accuracy {right:.3f}")
