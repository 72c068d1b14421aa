"""A hand-written Transformer reads the digits row by row; cross-entropy gets its plain class scores.

odd: softmax is used twice in the model, over attention and pooling scores, and cross-entropy applies its own
model: Transformer
source: planted
"""

import math
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(d // self.heads), dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class RowTransformer(nn.Module):
    def __init__(self, dim=24, heads=3, classes=10):
        super().__init__()
        self.embed = nn.Linear(8, dim)
        self.position = nn.Parameter(torch.randn(8, dim) * 0.1)
        self.blocks = nn.Sequential(Block(dim, heads), Block(dim, heads))
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)
        self.head = nn.Linear(dim, classes)

    def forward(self, rows):
        x = self.norm(self.blocks(self.embed(rows) + self.position))
        return self.head((self.score(x).softmax(dim=1) * x).sum(dim=1))


pixels, digits = load_digits(return_X_y=True)
images, labels = torch.tensor(pixels, dtype=torch.float32).view(-1, 8, 8) / 16, torch.tensor(digits)
mix = torch.randperm(len(images))
train = DataLoader(TensorDataset(images[mix[:1400]], labels[mix[:1400]]), batch_size=50, shuffle=True)
val_x, val_y = images[mix[1400:]], labels[mix[1400:]]

model = RowTransformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
for epoch in range(7):
    model.train()
    for xb, yb in train:
        loss = nn.functional.cross_entropy(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        logits = model(val_x)
        val_loss, val_acc = nn.functional.cross_entropy(logits, val_y), (logits.argmax(1) == val_y).float().mean()
    print(f"epoch {epoch}: last batch {loss.item():.3f}, validation {val_loss:.3f}, accuracy {val_acc:.3f}")
