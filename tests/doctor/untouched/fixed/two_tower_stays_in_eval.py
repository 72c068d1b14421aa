"""Trains two towers to match upper and lower digit halves; training mode is restored after each validation.

fixed: training-in-eval-mode
model: MLP
source: fartashf/vsepp#4
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def tower(d_in, d_out=24):
    return nn.Sequential(
        nn.Linear(d_in, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, d_out), nn.BatchNorm1d(d_out)
    )


class VSE:
    def __init__(self, margin=0.2, lr=2e-3):
        self.top_enc = tower(32)
        self.bottom_enc = tower(32)
        self.margin = margin
        self.params = list(self.top_enc.parameters()) + list(self.bottom_enc.parameters())
        self.optimizer = torch.optim.Adam(self.params, lr=lr)
        self.iters = 0

    def train_start(self):
        self.top_enc.train()
        self.bottom_enc.train()

    def val_start(self):
        self.top_enc.eval()
        self.bottom_enc.eval()

    def embed(self, top, bottom):
        return F.normalize(self.top_enc(top), dim=1), F.normalize(self.bottom_enc(bottom), dim=1)

    def loss(self, u, v):
        scores = u @ v.T
        right = scores.diagonal()
        wrong = 1 - torch.eye(len(u))
        hinge = (self.margin + scores - right[:, None]).relu() + (self.margin + scores - right).relu()
        return (hinge * wrong).mean()

    def train_step(self, top, bottom):
        self.iters += 1
        self.optimizer.zero_grad()
        loss = self.loss(*self.embed(top, bottom))
        loss.backward()
        self.optimizer.step()
        return loss.item()


def validate(model, top, bottom):
    model.val_start()
    with torch.no_grad():
        u, v = model.embed(top, bottom)
        scores = u @ v.T
        rank = (scores > scores.diagonal()[:, None]).sum(1)
        return model.loss(u, v).item(), (rank < 10).float().mean().item()


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
pixels = load_digits().data[np.random.default_rng(seed).permutation(1797)] / 16.0
tops, bottoms = torch.tensor(pixels, dtype=torch.float32).split(32, dim=1)
model = VSE()
for epoch in range(6):
    model.train_start()
    for idx in torch.randperm(1536).split(48):
        loss = model.train_step(tops[idx], bottoms[idx])
        if model.iters % 8 == 0:
            val_loss, recall = validate(model, tops[1536:], bottoms[1536:])
            model.train_start()
    print(f"epoch {epoch}: loss {loss:.4f}  val {val_loss:.4f}  recall@10 of 261: {recall:.3f}")
