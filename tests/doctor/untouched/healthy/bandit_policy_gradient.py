"""Trains a policy by REINFORCE on a contextual bandit: show one of four offers to a visitor.

odd: policy gradient: the loss is no measure of progress and goes up and down around zero; there are no labels
model: MLP
source: planted
"""

import sys

import torch
from torch import nn
from torch.distributions import Categorical

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
FEATURES, ARMS = 5, 4


class Shop:
    """Pays 1 with a chance that depends on visitor and offer."""

    def __init__(self):
        self.taste = torch.randn(FEATURES, ARMS) * 1.5

    def visitors(self, n):
        return torch.randn(n, FEATURES)

    def chances(self, x):
        return torch.sigmoid(x @ self.taste - 1.0)

    def reward(self, x, arm):
        return torch.bernoulli(self.chances(x).gather(1, arm[:, None]).squeeze(1))


shop = Shop()
policy = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, ARMS))
optimizer = torch.optim.Adam(policy.parameters(), lr=8e-3)
test_visitors = shop.visitors(500)
best = shop.chances(test_visitors).max(1).values.mean().item()
baseline = 0.0
for step in range(1, 301):
    policy.train()
    x = shop.visitors(128)
    choice = Categorical(logits=policy(x))
    arm = choice.sample()
    reward = shop.reward(x, arm)
    advantage = reward - baseline
    loss = -(advantage * choice.log_prob(arm)).mean() - 0.01 * choice.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    baseline += 0.05 * (reward.mean().item() - baseline)
    if step % 30 == 0:
        policy.eval()
        with torch.no_grad():
            greedy = policy(test_visitors).argmax(1, keepdim=True)
            income = shop.chances(test_visitors).gather(1, greedy).mean().item()
        print(f"step {step}: loss {loss.item():+.3f} reward {reward.mean():.3f} greedy {income:.3f} of {best:.3f}")
