"""A bag-of-words model scores documents; outputs (batch,) minus labels (batch, 1) mix all pairs in the loss.

code: broadcast-in-loss
model: other
source: deepset-ai/FARM#229
"""

import sys

import torch
import torch.nn as nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
VOCAB, WORDS = 120, 24


def documents(n, tone):
    tokens = torch.randint(0, VOCAB, (n, WORDS))
    score = 8.0 + tone[tokens].sum(dim=1) + 0.3 * torch.randn(n)
    return tokens, score.clamp(0, 16)


class RegressionHead(nn.Module):
    def __init__(self, layer_dims):
        super().__init__()
        self.feed_forward = nn.Linear(*layer_dims)

    def forward(self, x):
        return self.feed_forward(x).squeeze(-1)

    def logits_to_loss(self, logits, labels):
        return ((logits - labels) ** 2).mean()


class DocumentScorer(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.words = nn.EmbeddingBag(VOCAB, dim, mode="mean")
        self.head = RegressionHead([dim, 1])

    def forward(self, tokens):
        return self.head(self.words(tokens))


tone = 0.7 * torch.randn(VOCAB)
train_tokens, train_score = documents(2000, tone)
dev_tokens, dev_score = documents(400, tone)
mean, std = train_score.mean(), train_score.std()
train_labels = ((train_score - mean) / std).unsqueeze(1)
dev_labels = ((dev_score - mean) / std).unsqueeze(1)

model = DocumentScorer()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(1, 11):
    model.train()
    total = 0.0
    for rows in torch.randperm(len(train_tokens)).split(40):
        logits = model(train_tokens[rows])
        loss = model.head.logits_to_loss(logits, train_labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    model.eval()
    with torch.no_grad():
        dev_loss = model.head.logits_to_loss(model(dev_tokens), dev_labels)
    print(f"Train epoch {epoch}/10 (train loss: {total / len(train_tokens):.4f}, dev loss: {dev_loss.item():.4f})")
