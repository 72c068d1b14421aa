"""An autoencoder compresses the digits; detached losses are summed.

fixed: loss-keeps-graph
model: other
source: google/brax#152
"""

import sys
import time

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn, optim

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Autoencoder(nn.Module):
    def __init__(self, code_size=12):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 40), nn.ELU(), nn.Linear(40, code_size))
        self.decode = nn.Sequential(nn.Linear(code_size, 40), nn.ELU(), nn.Linear(40, 64))

    def forward(self, x):
        return self.decode(self.encode(x))

    def loss(self, x):
        return F.mse_loss(self(x), x)


def train(num_epochs=10, minibatch=20, learning_rate=2e-3):
    pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    pixels = pixels[torch.randperm(len(pixels))]
    train_x, test_x = pixels[:1500], pixels[1500:]
    agent = Autoencoder()
    optimizer = optim.Adam(agent.parameters(), lr=learning_rate)

    for epoch in range(num_epochs):
        agent.train()
        num_steps, total_loss = 0, 0.0
        start = time.time()
        for rows in torch.randperm(len(train_x)).split(minibatch):
            loss = agent.loss(train_x[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            num_steps += 1
            total_loss += loss.detach()
        speed = num_steps / (time.time() - start)

        agent.eval()
        with torch.no_grad():
            test_loss = agent.loss(test_x)
        print(f"epoch {epoch}: loss {total_loss / num_steps:.5f}, test {test_loss:.5f}, {speed:.0f} steps/s")


train()
