"""The shape of the course notes' script for MNIST, as learners write it: per-sample work in a DataLoader, and SGD.

    python benchmarks/notes_script.py MNIST_DIRECTORY [--workers N] [--until 0.97]

Each sample is made a Pillow picture, decoded to a tensor and normalised when it is asked for, as torchvision's MNIST
with ToTensor and Normalize does (torchvision itself is not needed). It stops after the first epoch whose test accuracy
is good enough, and prints that accuracy. This is the rival in ``benchmarks/notes.py``.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset[tuple[Tensor, int]]):
    def __init__(self, root: Path, part: str) -> None:
        pixels = gzip.decompress((root / f"{part}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((root / f"{part}-labels-idx1-ubyte.gz").read_bytes())
        self.data = torch.from_numpy(np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28).copy())
        self.targets = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).copy())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.data[index].numpy())
        tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True))[None].to(torch.float32).div(255)  # ToTensor
        return tensor.sub_(0.1307).div_(0.3081), int(self.targets[index])  # Normalize


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(784, 512), nn.Linear(512, 256), nn.Linear(256, 128)
        self.l4, self.l5 = nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 784)
        for layer in (self.l1, self.l2, self.l3, self.l4):
            x = F.relu(layer(x))
        out: Tensor = self.l5(x)
        return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--until", type=float, default=0.97)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    torch.manual_seed(0)
    train = DataLoader(Digits(asked.root, "train"), shuffle=True, batch_size=64, num_workers=asked.workers)
    test = DataLoader(Digits(asked.root, "t10k"), shuffle=False, batch_size=64, num_workers=asked.workers)
    model, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    for epoch in range(asked.epochs):
        running = 0.0
        for number, (inputs, targets) in enumerate(train):
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            running += loss.item()
            if number % 300 == 299:
                print(f"[{epoch + 1}, {number + 1:5d}] loss: {running / 300:.3f}")
                running = 0.0
        correct = 0
        with torch.no_grad():
            for inputs, targets in test:
                correct += int((model(inputs).argmax(dim=1) == targets).sum())
        print(f"accuracy {correct / 10_000:.4f}", flush=True)
        if correct / 10_000 >= asked.until:
            break


if __name__ == "__main__":
    main()
