"""A CNN sorts the digits, trained on mixtures of two pictures with soft targets.

odd: mixup - blended inputs, targets are distributions, the training loss stays above the validation loss
model: CNN
source: planted
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)


def mixup(x, y, alpha=0.3, classes=10):
    lam = float(rng.beta(alpha, alpha))
    partner = torch.randperm(len(x))
    onehot = F.one_hot(y, classes).float()
    return lam * x + (1 - lam) * x[partner], lam * onehot + (1 - lam) * onehot[partner]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.silu(self.conv1(x)), 2)
        x = F.silu(self.conv2(x))
        return self.head(x.flatten(1))


data = load_digits()
x_all = torch.from_numpy(data.images).float().unsqueeze(1) / 16
y_all = torch.from_numpy(data.target)
order = torch.from_numpy(rng.permutation(len(x_all)))
train, val = order[:1440], order[1440:]
loader = DataLoader(TensorDataset(x_all[train], y_all[train]), batch_size=32, shuffle=True)

net = Net()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(8):
    net.train()
    total = 0.0
    for x, y in loader:
        x, soft = mixup(x, y)
        loss = F.cross_entropy(net(x), soft)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() / len(loader)
    net.eval()
    with torch.no_grad():
        logits = net(x_all[val])
        val_loss = F.cross_entropy(logits, y_all[val])
        acc = (logits.argmax(1) == y_all[val]).float().mean()
    print(f"epoch {epoch}: mixed train {total:.3f}, val {val_loss:.3f}, acc {acc:.3f}")
