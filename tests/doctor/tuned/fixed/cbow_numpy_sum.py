"""Word vectors by CBOW with negative sampling on made-up topic texts; the context vectors are summed in torch.

fixed: gradient-cut
model: other
source: dalinvip/pytorch_word2vec#2
"""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
VOCAB, TOPICS, WINDOW, NEGATIVES = 120, 6, 2, 5


def make_corpus(length):
    """Texts that stay with one topic for a while; each topic has 20 words of its own."""
    topic, words = 0, []
    for _ in range(length):
        if rng.random() < 0.05:
            topic = rng.integers(TOPICS)
        words.append(20 * topic + rng.integers(20) if rng.random() < 0.9 else rng.integers(VOCAB))
    return np.array(words)


def windows(words):
    span = 2 * WINDOW + 1
    all_words = np.lib.stride_tricks.sliding_window_view(words, span)
    return torch.from_numpy(np.delete(all_words, WINDOW, axis=1)), torch.from_numpy(all_words[:, WINDOW].copy())


class CBOW(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.u_embeddings = nn.Embedding(VOCAB, dim)
        self.v_embeddings = nn.Embedding(VOCAB, dim)
        nn.init.normal_(self.u_embeddings.weight, std=0.2)
        nn.init.normal_(self.v_embeddings.weight, std=0.2)

    def forward(self, context, centre, negative):
        emb_u = self.u_embeddings(context)
        emb_u = torch.sum(emb_u, dim=1)
        score = (emb_u * self.v_embeddings(centre)).sum(dim=1)
        neg_score = torch.bmm(self.v_embeddings(negative), emb_u.unsqueeze(2)).squeeze(2)
        return -(F.logsigmoid(score) + F.logsigmoid(-neg_score).sum(dim=1)).mean()


def draw_negatives(n):
    return torch.randint(VOCAB, (n, NEGATIVES))


context, centre = windows(make_corpus(12000))
val_context, val_centre = windows(make_corpus(1500))
val_negative = draw_negatives(len(val_centre))
model = CBOW()
opt = torch.optim.Adam(model.parameters(), lr=5e-3)

for epoch in range(4):
    model.train()
    total, batches = 0.0, 0
    for rows in torch.randperm(len(centre)).split(100):
        loss = model(context[rows], centre[rows], draw_negatives(len(rows)))
        opt.zero_grad()
        loss.backward()
        opt.step()
        total, batches = total + loss.item(), batches + 1
    model.eval()
    with torch.no_grad():
        val_loss = model(val_context, val_centre, val_negative).item()
    print(f"epoch {epoch + 1}, loss {total / batches:.3f}, held out {val_loss:.3f}")
