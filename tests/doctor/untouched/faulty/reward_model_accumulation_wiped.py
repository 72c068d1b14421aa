"""Trains a reward model with four micro-batches a step, but gradients are wiped before each, so the last one counts.

code: zero-grad-misplaced
model: MLP
source: tatsu-lab/alpaca_farm#57
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
ACCUM = 4
MICRO = 12


def sample_answers(n):
    x = torch.randn(n, 10)
    quality = torch.tanh(x[:, 0] * x[:, 1]) + 0.8 * x[:, 2] - 0.6 * x[:, 3].abs() + 0.3 * torch.sin(2 * x[:, 4])
    return x, quality


def make_pairs(n):
    xa, qa = sample_answers(n)
    xb, qb = sample_answers(n)
    a_wins = (qa - qb + 0.3 * torch.randn(n) > 0)[:, None]
    return torch.where(a_wins, xa, xb), torch.where(a_wins, xb, xa)


class RewardModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU())
        self.value = nn.Linear(48, 1)

    def forward(self, x):
        return self.value(self.body(x)).squeeze(-1)


def preference_loss(reward, good, bad):
    return -F.logsigmoid(reward(good) - reward(bad)).mean()


chosen, rejected = make_pairs(3072)
val_chosen, val_rejected = make_pairs(512)
reward = RewardModel()
optim = torch.optim.AdamW(reward.parameters(), lr=2e-3, weight_decay=0.01)

for epoch in range(6):
    reward.train()
    history = []
    for micro, rows in enumerate(torch.randperm(len(chosen)).split(MICRO)):
        reward.zero_grad(set_to_none=True)
        loss = preference_loss(reward, chosen[rows], rejected[rows])
        (loss / ACCUM).backward()
        history.append(loss.item())
        if (micro + 1) % ACCUM == 0:
            optim.step()
    reward.eval()
    with torch.no_grad():
        val = preference_loss(reward, val_chosen, val_rejected).item()
        agree = (reward(val_chosen) > reward(val_rejected)).float().mean().item()
    print(f"epoch {epoch}  loss {sum(history) / len(history):.4f}  val {val:.4f}  agreement {agree:.3f}")
