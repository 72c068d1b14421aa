"""Trains an encoder so that two noisy views of a digit find each other among all views of the batch.

odd: cross-entropy over the batch: the "classes" are the other rows, and the labels are just 0..N-1
model: MLP
source: planted
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Encoder(nn.Module):
    def __init__(self, out=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
        self.projector = nn.Sequential(nn.ReLU(), nn.Linear(32, out))

    def forward(self, x):
        return F.normalize(self.projector(self.body(x)), dim=-1)


def view(x):
    dropped = torch.rand_like(x) < 0.25
    return (x + 0.15 * torch.randn_like(x)).masked_fill(dropped, 0.0)


def info_nce(a, b, temperature=0.15):
    scores = a @ b.t() / temperature
    partner = torch.arange(len(a))
    return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.t(), partner)) / 2


def main():
    p = argparse.ArgumentParser()
    p.add_argument("seed", type=int, nargs="?", default=0)
    seed = p.parse_args().seed
    torch.manual_seed(seed)
    pixels = torch.tensor(load_digits().data, dtype=torch.float32)[torch.randperm(1797)] / 16
    train, val = pixels[:1472], pixels[1472:]
    encoder = Encoder()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    for epoch in range(10):
        encoder.train()
        running = 0.0
        for rows in torch.randperm(len(train)).split(64):
            x = train[rows]
            loss = info_nce(encoder(view(x)), encoder(view(x)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item() / 23
        encoder.eval()
        with torch.no_grad():
            a, b = encoder(view(val)), encoder(view(val))
            found = ((a @ b.t()).argmax(1) == torch.arange(len(val))).float().mean()
            held = torch.stack([info_nce(p, q) for p, q in zip(a.split(65), b.split(65), strict=True)]).mean()
        print(f"epoch {epoch}: nce {running:.3f} val nce {held:.3f} partner found among {len(val)}: {found:.3f}")


main()
