"""Trains an LSTM on simulated brain signals that starts each batch from a fresh state.

fixed: hidden-state-kept
model: RNN
source: sgadgil6/cnslab_fmri#4
"""

import math
import sys

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

REGIONS, LENGTH, BATCH = 6, 24, 64


def scans(n):
    """Two groups: in the second the first half of the regions lags a quarter period behind the other."""
    group = torch.randint(2, (n,))
    t = torch.arange(LENGTH) / 12.0
    phase = 2 * math.pi * torch.rand(n, 1, 1)
    lag = torch.zeros(n, 1, REGIONS)
    lag[:, :, : REGIONS // 2] = (group * math.pi / 2)[:, None, None]
    signal = torch.sin(2 * math.pi * t[None, :, None] + phase - lag)
    return signal + 0.5 * torch.randn(n, LENGTH, REGIONS), group.float()


class SignalLSTM(nn.Module):
    def __init__(self, hidden_dim, input_dim):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers=1, batch_first=True)
        self.linear = nn.Linear(hidden_dim, 1)

    def init_hidden(self):
        return torch.zeros(1, BATCH, self.hidden_dim), torch.zeros(1, BATCH, self.hidden_dim)

    def forward(self, x):
        lstm_out, _ = self.lstm(x, self.init_hidden())
        return self.linear(lstm_out[:, -1, :]).squeeze(-1)


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
train_loader = DataLoader(TensorDataset(*scans(16 * BATCH)), batch_size=BATCH, shuffle=True, drop_last=True)
val_loader = DataLoader(TensorDataset(*scans(4 * BATCH)), batch_size=BATCH)

model = SignalLSTM(hidden_dim=24, input_dim=REGIONS)
bce = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(12):
    model.train()
    running = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = bce(model(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    model.eval()
    val_loss, right = 0.0, 0.0
    with torch.no_grad():
        for x, y in val_loader:
            out = model(x)
            val_loss += bce(out, y).item() / len(val_loader)
            right += ((out > 0).float() == y).float().mean().item() / len(val_loader)
    print(f"epoch {epoch} loss {running / len(train_loader):.4f} val {val_loss:.4f} acc {right:.3f}")
