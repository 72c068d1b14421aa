"""Trains a variational autoencoder on digits.

odd: the loss is summed over pixels (values around 20), and its KL part rises while the whole falls
model: other
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class VAE(nn.Module):
    def __init__(self, latent=6, hidden=64):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, hidden), nn.ReLU())
        self.to_mu = nn.Linear(hidden, latent)
        self.to_logvar = nn.Linear(hidden, latent)
        self.dec = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.to_mu(h), self.to_logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
        return self.dec(z), mu, logvar


def elbo_terms(logits, x, mu, logvar):
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum() / len(x)
    return reconstruction, kl


def main(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    x = x[torch.randperm(len(x))]
    train, val = x[:1500], x[1500:]
    vae = VAE()
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    for epoch in range(12):
        vae.train()
        for batch in train[torch.randperm(1500)].split(50):
            rec, kl = elbo_terms(*(out := vae(batch))[:1], batch, *out[1:])
            optimizer.zero_grad()
            (rec + kl).backward()
            optimizer.step()
        vae.eval()
        with torch.no_grad():
            logits, mu, logvar = vae(val)
            val_rec, val_kl = elbo_terms(logits, val, mu, logvar)
        print(f"epoch {epoch:2d}: train {rec.item():.2f} + {kl.item():.2f}   val {val_rec:.2f} + {val_kl:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
