"""Trains a small vision transformer on digit rows; its optimizer holds all parameters.

fixed: parameter-not-in-optimizer
model: Transformer
source: open-mmlab/OpenPCDet#960
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.proj(mixed)
        return x + self.mlp(self.norm2(x))


class RowViT(nn.Module):
    def __init__(self, dim=32, depth=2):
        super().__init__()
        self.patch = nn.Linear(8, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 9, dim))
        self.blocks = nn.Sequential(*[Block(dim, 4) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, rows):
        tokens = torch.cat([self.cls_token.expand(len(rows), -1, -1), self.patch(rows)], dim=1)
        return self.head(self.norm(self.blocks(tokens + self.pos_embed)[:, 0]))


def build_optimizer(model, lr):
    params = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.Adam(params, lr=lr, betas=(0.9, 0.99))


def main(seed):
    torch.manual_seed(seed)
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x = torch.tensor(data.images[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(data.target[order])
    x_train, y_train, x_val, y_val = x[:1440], y[:1440], x[1440:], y[1440:]
    model = RowViT()
    optimizer = build_optimizer(model, lr=3e-3)
    for epoch in range(7):
        model.train()
        for idx in torch.randperm(1440).split(48):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x_train[idx]), y_train[idx])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            out = model(x_val)
        acc = (out.argmax(1) == y_val).float().mean()
        print(f"epoch {epoch}: loss {loss.item():.3f} val loss {F.cross_entropy(out, y_val):.3f} val acc {acc:.3f}")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
