"""An MLP on wines whose DistributedSampler is told of each epoch, and mixes the rows anew.

fixed: sampler-epoch-not-set
model: MLP
source: huggingface/transformers#3721
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)

wine = load_wine()
x = torch.tensor((wine.data - wine.data.mean(0)) / wine.data.std(0), dtype=torch.float32)
y = torch.tensor(wine.target)
order = torch.randperm(len(x))
train, valid = order[:136], order[136:]
data = TensorDataset(x[train], y[train])
sampler = DistributedSampler(data, num_replicas=2, rank=0, shuffle=True)
loader = DataLoader(data, batch_size=16, sampler=sampler)
model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()

for epoch in range(12):
    sampler.set_epoch(epoch)
    model.train()
    total = 0.0
    for rows, labels in loader:
        loss = criterion(model(rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        hits = (model(x[valid]).argmax(1) == y[valid]).float().mean()
    print(f"epoch {epoch} loss {total / len(loader):.4f} accuracy {hits:.3f}")
