"""A small GAN learns points on a noisy ring; the two networks play against each other.

odd: neither of the two losses falls, generator and discriminator have opposite aims and an optimizer each
model: MLP
source: planted
"""

import math
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
NOISE = 4


def ring(n):
    angle = 2 * math.pi * torch.rand(n)
    radius = 1 + 0.1 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def distance(a, b):
    """Energy distance between two clouds of points: 0 where both come from the same distribution."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


generator = nn.Sequential(
    nn.Linear(NOISE, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 2)
)
discriminator = nn.Sequential(
    nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1)
)
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
bce = nn.BCEWithLogitsLoss()
loader = DataLoader(ring(2048), batch_size=128, shuffle=True)
held_out = ring(512)

for epoch in range(30):
    generator.train()
    discriminator.train()
    for real in loader:
        n = len(real)
        fake = generator(torch.randn(n, NOISE))

        opt_d.zero_grad()
        loss_d = bce(discriminator(real), torch.ones(n, 1)) + bce(discriminator(fake.detach()), torch.zeros(n, 1))
        loss_d.backward()
        opt_d.step()

        opt_g.zero_grad()
        loss_g = bce(discriminator(fake), torch.ones(n, 1))
        loss_g.backward()
        opt_g.step()

    generator.eval()
    with torch.no_grad():
        gap = distance(generator(torch.randn(512, NOISE)), held_out)
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1}: D {loss_d.item():.3f}  G {loss_g.item():.3f}  distance to held-out points {gap:.4f}")
