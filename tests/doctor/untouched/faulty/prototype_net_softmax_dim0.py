"""Trains an encoder with a prototype per wine cultivar; the softmax runs down the batch, not over the prototypes.

code: softmax-over-batch
model: MLP
source: Lackel/DPN#1
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

features, labels = (torch.as_tensor(a) for a in load_wine(return_X_y=True))
features = features.float()
order = torch.randperm(len(features))
train_idx, test_idx = order[:134], order[134:]
mean, std = features[train_idx].mean(0), features[train_idx].std(0)
features = (features - mean) / std


class PrototypeNet(nn.Module):
    def __init__(self, n_features, n_proto, dim=12):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_features, 24), nn.Tanh(), nn.Linear(24, dim))
        self.prototypes = nn.Parameter(torch.randn(n_proto, dim) * 0.3)
        self.temperature = 0.5

    def similarity(self, x):
        z = F.normalize(self.encoder(x), dim=-1)
        return z @ F.normalize(self.prototypes, dim=-1).T / self.temperature

    def log_prob(self, x):
        return F.log_softmax(self.similarity(x), dim=0)


net = PrototypeNet(13, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)


def evaluate():
    net.eval()
    with torch.no_grad():
        logp = net.log_prob(features[test_idx])
        target = labels[test_idx]
        return F.nll_loss(logp, target).item(), (logp.argmax(1) == target).float().mean().item()


for epoch in range(1, 51):
    net.train()
    total, seen = 0.0, 0
    for chunk in train_idx[torch.randperm(len(train_idx))].split(16):
        logp = net.log_prob(features[chunk])
        loss = F.nll_loss(logp, labels[chunk])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(chunk)
        seen += len(chunk)
    val_loss, val_acc = evaluate()
    if epoch % 5 == 0:
        print(f"{epoch:3d}  train {total / seen:.4f}  test {val_loss:.4f}  accuracy {val_acc:.3f}")
