"""A graph network with a learnt adjacency classifies digits cut into patches; the adjacency is detached on the way.

code: gradient-cut
model: other
source: queenie88/A-GCN#4
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, leaky_relu
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class AdaptiveGraphConv(nn.Module):
    """Mixes the nodes by an adjacency that is computed from the nodes themselves."""

    def __init__(self, dim_in, dim_out, dim_key=16):
        super().__init__()
        self.theta = nn.Linear(dim_in, dim_key)
        self.phi = nn.Linear(dim_in, dim_key)
        self.weight = nn.Linear(dim_in, dim_out)
        self.own = nn.Linear(dim_in, dim_out)

    def forward(self, nodes):
        scores = self.theta(nodes) @ self.phi(nodes).transpose(1, 2)
        adj = torch.softmax(scores / self.theta.out_features**0.5, dim=-1).detach()
        return self.weight(adj @ nodes) + self.own(nodes)


class PatchGCN(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.embed = nn.Linear(4, hidden)
        self.place = nn.Parameter(0.5 * torch.randn(16, hidden))
        self.gc1 = AdaptiveGraphConv(hidden, hidden)
        self.gc2 = AdaptiveGraphConv(hidden, hidden)
        self.out = nn.Linear(hidden, 10)

    def forward(self, patches):
        h = self.embed(patches) + self.place
        h = leaky_relu(self.gc1(h))
        h = leaky_relu(self.gc2(h))
        return self.out(h.mean(dim=1))


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 8 - 1
patches = images.unfold(1, 2, 2).unfold(2, 2, 2).reshape(-1, 16, 4)
train_set, val_set = random_split(TensorDataset(patches, torch.tensor(digits.target)), [0.8, 0.2])
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
val_loader = DataLoader(val_set, batch_size=256)

net = PatchGCN()
optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(9):
    net.train()
    train_loss = 0.0
    for x, y in train_loader:
        optimiser.zero_grad()
        loss = cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        train_loss += loss.item() / len(train_loader)
    net.eval()
    with torch.no_grad():
        outs = [(net(x), y) for x, y in val_loader]
    val_loss = sum(cross_entropy(o, y, reduction="sum").item() for o, y in outs) / len(val_set)
    right = sum((o.argmax(1) == y).sum().item() for o, y in outs) / len(val_set)
    print(f"epoch {epoch}: train={train_loss:.3f} val={val_loss:.3f} acc={right:.3f}")
