"""Trains a tiny transformer that reads a digit as eight rows, under autocast to bfloat16 on the CPU.

odd: forward pass and loss run in bfloat16 under autocast on the CPU, without a gradient scaler
model: Transformer
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        batch, steps, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, steps, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, steps, dim)
        x = x + self.merge(mixed)
        return x + self.mlp(self.norm2(x))


class RowReader(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.rows = nn.Linear(8, dim)
        self.place = nn.Parameter(torch.randn(8, dim) * 0.02)
        self.block = Block(dim, heads=2)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 10))

    def forward(self, images):
        return self.head(self.block(self.rows(images) + self.place).mean(dim=1))


digits = load_digits()
images = torch.tensor(digits.images / 8 - 1, dtype=torch.float32)
labels = torch.tensor(digits.target)
order = torch.randperm(len(labels))
train, valid = order[:1440], order[1440:]
loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=48, shuffle=True)

model = RowReader()
optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
for epoch in range(7):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step()
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(images[valid]).float()
        valid_loss = F.cross_entropy(scores, labels[valid])
    accuracy = (scores.argmax(1) == labels[valid]).float().mean()
    print(f"epoch {epoch} train {total / len(loader):.3f} valid {valid_loss:.3f} accuracy {accuracy:.3f}")
