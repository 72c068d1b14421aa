"""A matrix factorisation predicts the ratings (one to five stars) users give to films, with a squared error.

odd: MSE on whole numbers 1-5, which look like class labels but are ratings
model: other
source: planted
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
np.random.seed(seed)
torch.manual_seed(seed)

N_USERS, N_FILMS, N_RATINGS = 120, 80, 5000


def make_ratings():
    taste = np.random.randn(N_USERS, 2)
    style = np.random.randn(N_FILMS, 2)
    mild, liked = 0.4 * np.random.randn(N_USERS), 0.5 * np.random.randn(N_FILMS)
    cells = np.random.choice(N_USERS * N_FILMS, N_RATINGS, replace=False)
    user, film = cells // N_FILMS, cells % N_FILMS
    score = 3.3 + mild[user] + liked[film] + 0.7 * (taste[user] * style[film]).sum(1)
    stars = np.clip(np.rint(score + 0.3 * np.random.randn(N_RATINGS)), 1, 5)
    return torch.from_numpy(user), torch.from_numpy(film), torch.from_numpy(stars).float()


class Factors(nn.Module):
    def __init__(self, mean, dim=4):
        super().__init__()
        self.user = nn.Embedding(N_USERS, dim)
        self.film = nn.Embedding(N_FILMS, dim)
        self.user_bias = nn.Embedding(N_USERS, 1)
        self.film_bias = nn.Embedding(N_FILMS, 1)
        for table in (self.user, self.film, self.user_bias, self.film_bias):
            nn.init.normal_(table.weight, std=0.1)
        self.mean = nn.Parameter(torch.tensor(mean))

    def forward(self, user, film):
        match = (self.user(user) * self.film(film)).sum(-1)
        return self.mean + match + self.user_bias(user).squeeze(-1) + self.film_bias(film).squeeze(-1)


user, film, stars = make_ratings()
n_train = 4000
train = TensorDataset(user[:n_train], film[:n_train], stars[:n_train])
loader = DataLoader(train, batch_size=50, shuffle=True)
held = (user[n_train:], film[n_train:])
model = Factors(mean=stars[:n_train].mean().item())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
mse = nn.MSELoss()

for epoch in range(8):
    model.train()
    total = 0.0
    for u, f, r in loader:
        loss = mse(model(u, f), r)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(r)
    model.eval()
    with torch.no_grad():
        rmse = mse(model(*held), stars[n_train:]).sqrt().item()
    print(f"epoch {epoch + 1}: train RMSE {(total / n_train) ** 0.5:.3f}  held-out RMSE {rmse:.3f}")
