"""Trains a wide net for many epochs on 70 patients to foretell how diabetes progresses, and learns them by heart
while the validation gets worse.

code: overfitting
model: MLP
source: planted
"""

import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

config = {"patients": 70, "width": 256, "decay": 0.0, "epochs": 120, "lr": 2e-3}

data, target = load_diabetes(return_X_y=True, scaled=False)
data, target = torch.tensor(data, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)
order = torch.randperm(len(data))
train, valid = order[102:][: config["patients"]], order[:102]
data = (data - data[train].mean(0)) / data[train].std(0)
target = (target - target[train].mean()) / target[train].std()


class Progression(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(10, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)

    def forward(self, patient):
        hidden = nn.functional.silu(self.first(patient))
        hidden = nn.functional.silu(self.second(hidden))
        return self.last(hidden)[:, 0]


model = Progression(config["width"])
optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["decay"])
loader = DataLoader(TensorDataset(data[train], target[train]), batch_size=20, shuffle=True)
mse = nn.MSELoss()

for epoch in range(1, config["epochs"] + 1):
    model.train()
    errors = []
    for patients, progress in loader:
        error = mse(model(patients), progress)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    model.eval()
    with torch.no_grad():
        valid_error = mse(model(data[valid]), target[valid]).item()
    if epoch % 5 == 0:
        print(f"epoch {epoch:3d}  train mse {sum(errors) / len(errors):.4f}  valid mse {valid_error:.4f}")
