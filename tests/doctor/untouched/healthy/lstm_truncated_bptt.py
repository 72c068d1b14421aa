"""Trains an LSTM to forecast a long wave, one window after another in time order.

odd: the state is carried over from window to window, detached; the windows are not shuffled
model: RNN
source: planted
"""

import sys

import torch
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

STREAMS, STEPS, WINDOW = 16, 1201, 20


def waves(n):
    t = torch.arange(STEPS, dtype=torch.float32)
    slow = 0.05 + 0.05 * torch.rand(n, 1)
    fast = 0.3 + 0.2 * torch.rand(n, 1)
    phase = 6.28 * torch.rand(2, n, 1)
    clean = 0.7 * torch.sin(slow * t + phase[0]) + 0.4 * torch.sin(fast * t + phase[1])
    return (clean + 0.05 * torch.randn(n, STEPS)).unsqueeze(-1)


class Forecaster(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.cell = nn.LSTM(1, hidden, batch_first=True)
        self.read = nn.Linear(hidden, 1)

    def forward(self, x, state=None):
        out, state = self.cell(x, state)
        return x + self.read(out), state


def windows(series):
    for start in range(0, STEPS - WINDOW, WINDOW):
        yield series[:, start : start + WINDOW], series[:, start + 1 : start + WINDOW + 1]


train, val = waves(STREAMS), waves(8)
model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
mse = nn.MSELoss()
for epoch in range(4):
    model.train()
    state, losses = None, []
    for x, target in windows(train):
        guess, state = model(x, state)
        loss = mse(guess, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(s.detach() for s in state)
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        guess, _ = model(val[:, :-1])
        held, naive = mse(guess, val[:, 1:]).item(), mse(val[:, :-1], val[:, 1:]).item()
    print(f"pass {epoch}: mse {sum(losses) / len(losses):.4f}, other waves {held:.4f}, repeating the last {naive:.4f}")
