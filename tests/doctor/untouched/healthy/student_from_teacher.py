"""Trains a teacher on digits and then a much smaller student on the teacher's softened answers.

odd: distillation: the teacher runs in eval mode under no_grad while the student trains; KL of tempered softmaxes
model: MLP
source: planted
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        out = model(x)
    return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()


def run(model, loss_of, x, y, epochs, lr, x_val, y_val, tag):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for idx in torch.randperm(len(x)).split(32):
            loss = loss_of(model(x[idx]), x[idx], y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        val_loss, val_acc = accuracy(model, x_val, y_val)
        print(f"{tag} {epoch}: loss {total / len(x):.4f} val {val_loss:.4f} acc {val_acc:.3f}")


def distill(teacher, temperature=3.0, share=0.7):
    teacher.eval().requires_grad_(False)

    def loss_of(logits, x, y):
        with torch.no_grad():
            wise = teacher(x) / temperature
        kl = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(wise, 1), reduction="batchmean")
        return share * temperature**2 * kl + (1 - share) * F.cross_entropy(logits, y)

    return loss_of


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
x, y = load_digits(return_X_y=True)
order = torch.randperm(len(y))
x, y = torch.tensor(x, dtype=torch.float32)[order] / 16, torch.tensor(y)[order]
data = (x[:1420], y[:1420])
held = (x[1420:], y[1420:])

teacher = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.3), nn.Linear(96, 10))
run(teacher, lambda logits, _x, y: F.cross_entropy(logits, y), *data, 6, 3e-3, *held, "teacher")
student = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
run(student, distill(teacher), *data, 8, 5e-3, *held, "student")
