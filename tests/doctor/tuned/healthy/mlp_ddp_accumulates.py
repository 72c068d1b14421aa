"""Gradients are kept back by no_sync for three batches of four, and the bare module is evaluated and saved.

odd: DistributedDataParallel with accumulation; its module is called past it, though only without gradient
model: MLP
"""

import contextlib
import sys

import torch
import torch.distributed as dist
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

table = load_breast_cancer()
x = torch.tensor((table.data - table.data.mean(0)) / table.data.std(0), dtype=torch.float32)
y = torch.tensor(table.target)
order = torch.randperm(len(x))
train, valid = order[:448], order[448:]
data = TensorDataset(x[train], y[train])
sampler = DistributedSampler(data)
loader = DataLoader(data, batch_size=16, sampler=sampler)
model = DistributedDataParallel(nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2)))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = nn.CrossEntropyLoss()
PARTS = 4

for epoch in range(10):
    sampler.set_epoch(epoch)
    model.train()
    for k, (rows, labels) in enumerate(loader):
        last = k % PARTS == PARTS - 1
        with contextlib.nullcontext() if last else model.no_sync():
            loss = criterion(model(rows), labels) / PARTS
            loss.backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
    bare = model.module.eval()
    with torch.no_grad():
        hits = (bare(x[valid]).argmax(1) == y[valid]).float().mean()
    print(f"epoch {epoch} loss {loss.item() * PARTS:.4f} accuracy {hits:.3f}")
dist.destroy_process_group()
