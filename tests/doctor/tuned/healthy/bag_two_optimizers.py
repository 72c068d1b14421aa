"""Made-up texts of six topics are classified; sparse word vectors and dense layers have an optimizer each.

odd: two optimizers, SparseAdam for the word vectors and AdamW for the layers above them
model: other
source: planted
"""

import sys

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
VOCAB, TOPICS, LENGTH = 600, 6, 20


def texts(n, word_odds):
    topic = torch.randint(TOPICS, (n,))
    words = torch.multinomial(word_odds[topic], LENGTH, replacement=True)
    return TensorDataset(words, topic)


class TopicModel(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.vectors = nn.EmbeddingBag(VOCAB, dim, mode="mean", sparse=True)
        self.layers = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, TOPICS))

    def forward(self, words):
        return self.layers(self.vectors(words))


word_odds = torch.rand(TOPICS, VOCAB) ** 6 + 0.05
train_loader = DataLoader(texts(2000, word_odds), batch_size=50, shuffle=True)
val_loader = DataLoader(texts(500, word_odds), batch_size=250)

model = TopicModel()
optimizers = [
    optim.SparseAdam(model.vectors.parameters(), lr=5e-3),
    optim.AdamW(model.layers.parameters(), lr=2e-3),
]
loss_fn = nn.CrossEntropyLoss()

for epoch in range(7):
    model.train()
    train_loss = 0.0
    for words, topic in train_loader:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = loss_fn(model(words), topic)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        train_loss += loss.item()
    model.eval()
    with torch.no_grad():
        parts = [(model(words), topic) for words, topic in val_loader]
    logits, topic = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    print(
        f"epoch {epoch} train {train_loss / len(train_loader):.3f} val {loss_fn(logits, topic).item():.3f} "
        f"acc {(logits.argmax(1) == topic).float().mean().item():.3f}"
    )
