"""Trains a toy YOLO on a 2x2 grid of digits; its head squashes the scores before a loss that wants them raw.

code: sigmoid-before-bce-with-logits
model: CNN
source: argusswift/YOLOv4-pytorch#89
"""

import sys

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits


def make_scenes(images, labels, count, rng):
    canvas = np.zeros((count, 1, 16, 16), dtype=np.float32)
    truth = np.zeros((count, 11, 2, 2), dtype=np.float32)
    for n in range(count):
        for row in range(2):
            for col in np.flatnonzero(rng.random(2) < 0.5):
                k = rng.integers(len(images))
                canvas[n, 0, row * 8 : row * 8 + 8, col * 8 : col * 8 + 8] = images[k]
                truth[n, [0, 1 + labels[k]], row, col] = 1.0
    canvas += rng.normal(0.0, 0.15, canvas.shape).astype(np.float32)
    return torch.from_numpy(canvas), torch.from_numpy(truth)


class YoloHead(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 11, kernel_size=1)

    def forward(self, x):
        return torch.sigmoid(self.conv(x))


class YoloLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss(reduction="none")

    def forward(self, pred, truth):
        conf = self.bce(pred[:, :1], truth[:, :1]).mean()
        cls = self.bce(pred[:, 1:], truth[:, 1:]) * truth[:, :1]
        return conf + cls.sum() / truth[:, 0].sum()


def block(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.LeakyReLU(0.1), nn.MaxPool2d(2))


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
digits = load_digits()
pixels = digits.images / 16.0
order = rng.permutation(len(pixels))
fit, held = order[:1400], order[1400:]
x_train, t_train = make_scenes(pixels[fit], digits.target[fit], 800, rng)
x_val, t_val = make_scenes(pixels[held], digits.target[held], 240, rng)

net = nn.Sequential(block(1, 16), block(16, 32), block(32, 48), YoloHead(48))
loss_fn = YoloLoss()
opt = torch.optim.AdamW(net.parameters(), lr=4e-3)
for epoch in range(12):
    net.train()
    for idx in torch.randperm(len(x_train)).split(40):
        opt.zero_grad()
        loss = loss_fn(net(x_train[idx]), t_train[idx])
        loss.backward()
        opt.step()
    net.eval()
    with torch.inference_mode():
        out = net(x_val)
        there = t_val[:, 0] > 0
        found = ((out[:, 0] > 0.5) == there).float().mean()
        named = (out[:, 1:].argmax(1) == t_val[:, 1:].argmax(1))[there].float().mean()
        print(f"{epoch:2d} loss {loss_fn(out, t_val):.3f} objectness {found:.3f} class {named:.3f}")
