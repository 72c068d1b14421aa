"""A small encoder learns digits without labels: two noisy views of one picture shall be alike, others not.

odd: contrastive loss - a similarity matrix across the batch, the targets are positions in the batch
model: MLP
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def view(images):
    """Each picture turned, stretched and moved a little, and a little noise."""
    n = len(images)
    theta = torch.eye(2, 3) + 0.12 * torch.randn(n, 2, 3)
    grid = F.affine_grid(theta, (n, 1, 8, 8), align_corners=False)
    moved = F.grid_sample(images.unsqueeze(1), grid, align_corners=False)
    return (moved + 0.1 * torch.randn_like(moved)).flatten(1)


class Encoder(nn.Module):
    def __init__(self, width=96, out=24):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.projector = nn.Linear(width, out)

    def forward(self, x):
        return F.normalize(self.projector(self.backbone(x)), dim=1)


def nt_xent(a, b, temperature=0.3):
    z = torch.cat([a, b])
    sim = z @ z.T / temperature
    sim = sim.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    n = len(a)
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(sim, partner)


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
perm = torch.randperm(len(images))
train, held = perm[:1472], perm[1472:]

model = Encoder()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(16):
    model.train()
    total = 0.0
    for rows in train[torch.randperm(len(train))].split(64):
        loss = nt_xent(model(view(images[rows])), model(view(images[rows])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        parts = [rows for rows in held.split(64) if len(rows) == 64]
        held_loss = sum(nt_xent(model(view(images[r])), model(view(images[r]))).item() for r in parts) / len(parts)
        nearest = (model(images[held].flatten(1)) @ model(images[train].flatten(1)).T).argmax(1)
        knn = (labels[train][nearest] == labels[held]).float().mean().item()
    print(f"{epoch:2d}: contrastive {total / 23:.3f}, held-out {held_loss:.3f}, nearest neighbour right {knn:.3f}")
