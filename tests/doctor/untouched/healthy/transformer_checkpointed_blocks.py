"""Trains a Transformer on digit rows, recomputing its blocks in the backward pass.

odd: gradient checkpointing: each block's forward runs twice a step
model: Transformer
source: planted
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.checkpoint import checkpoint

settings = {"dim": 32, "heads": 4, "blocks": 2, "lr": 2e-3, "batch": 48, "epochs": 6}


class RowTransformer(nn.Module):
    def __init__(self, dim, heads, blocks):
        super().__init__()
        self.lift = nn.Linear(8, dim)
        self.place = nn.Parameter(torch.randn(8, dim) * 0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, heads, dim * 2, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(dim)
        self.answer = nn.Linear(dim, 10)

    def forward(self, rows):
        h = self.lift(rows) + self.place
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False) if self.training else block(h)
        return self.answer(self.norm(h).mean(dim=1))


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
bunch = load_digits()
mix = torch.randperm(len(bunch.target))
rows, labels = torch.tensor(bunch.images / 16).float()[mix], torch.tensor(bunch.target)[mix]
model = RowTransformer(settings["dim"], settings["heads"], settings["blocks"])
optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"])
loss_fn = nn.CrossEntropyLoss()
for epoch in range(settings["epochs"]):
    model.train()
    for idx in torch.randperm(1440).split(settings["batch"]):
        optimizer.zero_grad()
        loss = loss_fn(model(rows[idx]), labels[idx])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        out = model(rows[1440:])
        val = loss_fn(out, labels[1440:]).item()
    print(f"{epoch} loss {loss.item():.3f} val {val:.3f} right {(out.argmax(1) == labels[1440:]).float().mean():.3f}")
