"""Pretrains a CNN on half the digit classes, then fine-tunes it on all with its batch norms kept in evaluation mode.

odd: batch norm layers are frozen in eval mode and without gradient during the second training
model: CNN
source: planted
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 16, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        return F.relu(self.bn2(self.conv2(x))).flatten(1)


def freeze_norms(module):
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.eval()
            m.requires_grad_(False)


def fit(backbone, head, train, val, lr, epochs, frozen):
    params = [p for m in (backbone, head) for p in m.parameters() if p.requires_grad]
    opt = torch.optim.SGD(params, lr=lr, momentum=0.9)
    x, y = train
    for epoch in range(epochs):
        backbone.train()
        head.train()
        if frozen:
            freeze_norms(backbone)
        for idx in torch.randperm(len(x)).split(40):
            if len(idx) < 8:
                continue
            loss = F.cross_entropy(head(backbone(x[idx])), y[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
        backbone.eval()
        head.eval()
        with torch.no_grad():
            out = head(backbone(val[0]))
        acc = (out.argmax(1) == val[1]).float().mean()
        print(f"epoch {epoch}: loss {loss.item():.3f} val {F.cross_entropy(out, val[1]):.3f} acc {acc:.3f}")


d = load_digits()
order = torch.randperm(1797)
images = torch.tensor(d.images, dtype=torch.float32)[order, None] / 16
labels = torch.tensor(d.target)[order]
xt, yt, xv, yv = images[:1400], labels[:1400], images[1400:], labels[1400:]
body = Backbone()
fit(body, nn.Linear(256, 5), (xt[yt < 5], yt[yt < 5]), (xv[yv < 5], yv[yv < 5]), 0.05, 2, frozen=False)
freeze_norms(body)
fit(body, nn.Linear(256, 10), (xt, yt), (xv, yv), 0.004, 4, frozen=True)
