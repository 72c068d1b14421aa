"""A small network doubles the resolution of digits; the schedule that counts epochs is stepped with each epoch.

fixed: scheduler-per-batch
model: CNN
source: Lornatang/SRGAN-PyTorch#1
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
epochs = 10


class Generator(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, low):
        return F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False) + self.body(low)


def psnr(mse):
    return -10 * torch.log10(torch.tensor(mse)).item()


hr = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
hr = hr[torch.randperm(len(hr))]
lr = F.avg_pool2d(hr, 2)
split = int(0.8 * len(hr))
train_loader = DataLoader(list(zip(lr[:split], hr[:split], strict=True)), batch_size=32, shuffle=True)
val_lr, val_hr = lr[split:], hr[split:]

generator = Generator()
opt_g = Adam(generator.parameters(), lr=2e-3)
sched_g = StepLR(opt_g, step_size=epochs // 2, gamma=0.1)
criterion = nn.MSELoss()
plain = F.interpolate(val_lr, scale_factor=2, mode="bilinear", align_corners=False)
print(f"bilinear alone: {psnr(criterion(plain, val_hr).item()):.2f} dB")

for epoch in range(epochs):
    generator.train()
    for low, high in train_loader:
        opt_g.zero_grad()
        g_loss = criterion(generator(low), high)
        g_loss.backward()
        opt_g.step()
    sched_g.step()
    generator.eval()
    with torch.no_grad():
        mse = criterion(generator(val_lr), val_hr).item()
    print(f"[{epoch + 1}/{epochs}] Loss_G: {g_loss.item():.5f} val mse: {mse:.5f} PSNR: {psnr(mse):.2f} dB")
