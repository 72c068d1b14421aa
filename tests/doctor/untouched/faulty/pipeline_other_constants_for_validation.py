"""Trains a CNN on standardised digits, while the validation transform still carries placeholder constants.

code: split-mismatch
model: CNN
source: neptune-ai/open-solution-mapping-challenge#77
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(SEED)
BUNCH = load_digits()
ORDER = np.random.default_rng(SEED).permutation(len(BUNCH.target))
TRAIN_ROWS, VALID_ROWS = ORDER[:1400], ORDER[1400:]
MEAN, STD = BUNCH.images[TRAIN_ROWS].mean(), BUNCH.images[TRAIN_ROWS].std()

PIPELINE = {
    "train": {"rows": TRAIN_ROWS, "mean": MEAN, "std": STD, "loader": {"batch_size": 35, "shuffle": True}},
    "valid": {"rows": VALID_ROWS, "mean": 0.0, "std": 1.0, "loader": {"batch_size": 80, "shuffle": False}},
    "optimizer": {"lr": 0.03, "momentum": 0.9, "nesterov": True},
    "epochs": 6,
}


class Tiles(Dataset):
    def __init__(self, rows, mean, std):
        self.rows, self.mean, self.std = rows, mean, std

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        image = (BUNCH.images[self.rows[i]] - self.mean) / self.std
        return torch.tensor(image, dtype=torch.float32)[None], BUNCH.target[self.rows[i]]


def make_loader(split):
    part = PIPELINE[split]
    return DataLoader(Tiles(part["rows"], part["mean"], part["std"]), **part["loader"])


net = nn.Sequential()
net.add_module("conv1", nn.Conv2d(1, 8, 3, stride=1, padding=1))
net.add_module("act1", nn.ReLU())
net.add_module("conv2", nn.Conv2d(8, 16, 3, stride=2, padding=1))
net.add_module("act2", nn.ReLU())
net.add_module("flat", nn.Flatten())
net.add_module("fc", nn.Linear(16 * 16, 10))

loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), **PIPELINE["optimizer"])
loaders = {split: make_loader(split) for split in ("train", "valid")}
for epoch in range(PIPELINE["epochs"]):
    report = {}
    for split, loader in loaders.items():
        training = split == "train"
        net.train(training)
        losses, hits = [], []
        with torch.set_grad_enabled(training):
            for image, label in loader:
                out = net(image)
                loss = loss_function(out, label)
                if training:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                losses.append(loss.item())
                hits.append((out.argmax(1) == label).float().mean().item())
        report[split] = f"{split} loss {np.mean(losses):.3f} acc {np.mean(hits):.3f}"
    print(f"epoch {epoch}:", ", ".join(report.values()))
