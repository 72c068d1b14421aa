"""Trains a convolutional net with attention over the places of its feature map on digits; view in place of permute
scatters the examples of a batch over one another.

code: examples-mixed
model: CNN
source: fawazsammani/knowing-when-to-look-adaptive-attention#6
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class Encoder(nn.Module):
    def __init__(self, features=16):
        super().__init__()
        self.features = features
        self.conv = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, features, 3, stride=2, padding=1), nn.ReLU()
        )

    def forward(self, images):
        encoded = self.conv(images)  # (batch, features, 4, 4)
        batch_size, num_pixels = images.size(0), encoded.size(2) * encoded.size(3)
        return encoded.view(num_pixels, batch_size, self.features)


class AttentionClassifier(nn.Module):
    def __init__(self, features=16, num_pixels=16, classes=10):
        super().__init__()
        self.encoder = Encoder(features)
        self.place = nn.Parameter(torch.randn(num_pixels, 1, features) * 0.1)
        self.attention = nn.MultiheadAttention(features, num_heads=2)  # takes (pixels, batch, features)
        self.norm = nn.LayerNorm(features)
        self.classify = nn.Linear(num_pixels * features, classes)

    def forward(self, images):
        pixels = self.encoder(images) + self.place
        looked, _ = self.attention(pixels, pixels, pixels, need_weights=False)
        seen = self.norm(pixels + looked)
        return self.classify(seen.transpose(0, 1).flatten(1))


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
targets = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, valid = order[:1408], order[1408:]
loader = DataLoader(TensorDataset(images[train], targets[train]), batch_size=64, shuffle=True)

model = AttentionClassifier()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(7):
    model.train()
    losses = []
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        scores = model(images[valid])
        val_loss = criterion(scores, targets[valid])
        val_acc = (scores.argmax(-1) == targets[valid]).float().mean()
    print(f"epoch {epoch}: {sum(losses) / len(losses):.3f}, validation {val_loss:.3f}, accuracy {val_acc:.3f}")
