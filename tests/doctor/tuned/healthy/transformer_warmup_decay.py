"""A small Transformer that reads digits row by row, with warm-up and then linear decay of the learning rate.

odd: a LambdaLR stepped with each batch, which begins near zero and ends at zero
model: Transformer
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class RowTransformer(nn.Module):
    def __init__(self, dim=32, layers=2):
        super().__init__()
        self.embed = nn.Linear(8, dim)
        self.position = nn.Parameter(0.1 * torch.randn(8, dim))
        block = nn.TransformerEncoderLayer(
            dim, 4, dim_feedforward=64, dropout=0.05, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, images):
        tokens = self.embed(images) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


data = load_digits()
images = torch.tensor(data.images, dtype=torch.float32) / 8 - 1
labels = torch.tensor(data.target)
rows = torch.randperm(len(labels))
train_rows, val_rows = rows[:1400], rows[1400:]

epochs, batch_size = 8, 50
steps = epochs * -(-len(train_rows) // batch_size)
warmup = steps // 10


def factor(step):
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / (steps - warmup))


model = RowTransformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
scheduler = LambdaLR(optimizer, factor)

for epoch in range(epochs):
    model.train()
    losses = []
    for batch in train_rows[torch.randperm(len(train_rows))].split(batch_size):
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        out = model(images[val_rows])
    val_loss = F.cross_entropy(out, labels[val_rows]).item()
    acc = (out.argmax(1) == labels[val_rows]).float().mean().item()
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.3f}, val {val_loss:.3f}, acc {acc:.3f}")
