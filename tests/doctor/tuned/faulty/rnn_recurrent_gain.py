"""A tanh RNN tells rising from flat and falling curves; its recurrent weights begin so large that gradients blow up.

code: exploding-gradient
model: RNN
source: planted
"""

import math
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


def curves(n, steps=40):
    trend = torch.randint(3, (n,))
    slope = (trend - 1) * (0.7 + 0.6 * torch.rand(n))
    t = torch.linspace(-1, 1, steps)
    wobble = 0.5 * torch.sin(math.pi * (3 * torch.rand(n, 1) * t + 2 * torch.rand(n, 1)))
    signal = slope[:, None] * t + wobble + 0.3 * torch.randn(n, steps)
    return signal.unsqueeze(-1), trend


class TrendRNN(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.rnn = nn.RNN(1, hidden, batch_first=True)
        self.classify = nn.Linear(hidden, 3)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=3.0)

    def forward(self, x):
        _, last = self.rnn(x)
        return self.classify(last[-1])


train_x, train_y = curves(960)
valid_x, valid_y = curves(240)
loader = DataLoader(TensorDataset(train_x, train_y), batch_size=32, shuffle=True)
model = TrendRNN()
opt = torch.optim.Adam(model.parameters(), lr=1e-3)
ce = nn.CrossEntropyLoss()

for epoch in range(10):
    model.train()
    running = 0.0
    for x, y in loader:
        opt.zero_grad()
        loss = ce(model(x), y)
        loss.backward()
        opt.step()
        running += loss.item() * len(y)
    model.eval()
    with torch.no_grad():
        logits = model(valid_x)
        valid_loss = ce(logits, valid_y).item()
        valid_acc = (logits.argmax(dim=-1) == valid_y).float().mean().item()
    print(f"epoch {epoch:02d} | train {running / len(train_x):.4f} | valid {valid_loss:.4f} | acc {valid_acc:.3f}")
