"""An ensemble of small tabular networks predicts diabetes progression; the gradients are clipped before they exist.

code: clip-misplaced
model: MLP
source: yandex-research/tabm#20
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn, optim

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)


class MiniEnsemble(nn.Module):
    """K networks share one body; each has its own scaling of the inputs and its own last layer."""

    def __init__(self, n_features: int, width: int = 64, k: int = 8):
        super().__init__()
        self.scale = nn.Parameter(1 + 0.3 * torch.randn(k, n_features))
        self.body = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, width))
        self.heads = nn.Parameter(torch.randn(k, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(k))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.body(x[:, None, :] * self.scale))
        return (h * self.heads).sum(-1) + self.bias  # (batch, k)


X, Y = load_diabetes(return_X_y=True, scaled=False)
x_train, x_val, y_train, y_val = train_test_split(X, Y, test_size=0.2, random_state=seed)
x_mean, x_std, y_mean, y_std = x_train.mean(0), x_train.std(0), y_train.mean(), y_train.std()
x_train, x_val = (torch.tensor((x - x_mean) / x_std, dtype=torch.float32) for x in (x_train, x_val))
y_train, y_val = (torch.tensor((y - y_mean) / y_std, dtype=torch.float32) for y in (y_train, y_val))


def loss_fn(y_pred: Tensor, y_true: Tensor) -> Tensor:
    return F.mse_loss(y_pred, y_true[:, None].expand_as(y_pred))


model = MiniEnsemble(x_train.shape[1])
optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=3e-4)
gradient_clipping_norm = 1.0

for epoch in range(8):
    model.train()
    epoch_losses = []
    for idx in torch.randperm(len(x_train)).split(16):
        optimizer.zero_grad()
        loss = loss_fn(model(x_train[idx]), y_train[idx])
        nn.utils.clip_grad_norm_(model.parameters(), gradient_clipping_norm)
        loss.backward()
        optimizer.step()
        epoch_losses.append(loss.item())

    model.eval()
    with torch.inference_mode():
        rmse = F.mse_loss(model(x_val).mean(1), y_val).sqrt().item()
    print(f"Epoch {epoch:>2} [train] {sum(epoch_losses) / len(epoch_losses):.4f} [val] rmse {rmse:.4f} of spread 1")
