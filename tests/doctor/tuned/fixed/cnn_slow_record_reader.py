"""Trains a small convolutional net on digits from a record store that takes a millisecond per record, read once
before the training.

fixed: waits-for-data
model: CNN
source: planted
"""

import sys
import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class RecordStore:
    """Stands for a store on the network: every record is a round trip."""

    def __init__(self):
        digits = load_digits()
        self._images, self._labels = digits.images, digits.target

    def fetch(self, key):
        time.sleep(0.001)
        return self._images[key], self._labels[key]


class StoredDigits(Dataset):
    def __init__(self, store, keys):
        self.store = store
        self.keys = keys
        self.records = [store.fetch(key) for key in keys]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        image, label = self.records[index]
        return torch.from_numpy(image).float().unsqueeze(0) / 16 - 0.3, int(label)


store = RecordStore()
keys = torch.randperm(1797).tolist()
train_loader = DataLoader(StoredDigits(store, keys[:240]), batch_size=16, shuffle=True)
valid_loader = DataLoader(StoredDigits(store, keys[240:300]), batch_size=60)

features = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
model = nn.Sequential(features, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
criterion = nn.CrossEntropyLoss()

start = time.perf_counter()
for epoch in range(5):
    model.train()
    total = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    valid, right = 0.0, 0
    with torch.no_grad():
        for images, labels in valid_loader:
            out = model(images)
            valid += criterion(out, labels).item() / len(valid_loader)
            right += (out.argmax(1) == labels).sum().item()
    print(
        f"epoch {epoch}: train {total / len(train_loader):.3f} valid {valid:.3f} "
        f"accuracy {right / 60:.2f}, {time.perf_counter() - start:.1f} s"
    )
