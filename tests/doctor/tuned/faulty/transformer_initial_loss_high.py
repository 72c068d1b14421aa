"""A Transformer learns a small grammar; word vectors of spread 1, tied to the output, make the first loss huge.

code: initial-loss-high
model: Transformer
source: planted
"""

import random
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
random.seed(seed)
torch.manual_seed(seed)

NOUNS = ["cat", "dog", "bird", "child", "farmer", "teacher"]
VERBS = ["see", "like", "follow", "call", "help"]
ADJECTIVES = ["old", "young", "tired", "happy"]
T = 16


def sentence():
    words = []
    for part in ("subject", "object"):
        many = random.random() < 0.5
        words.append(random.choice(["some", "two"]) if many else random.choice(["a", "the"]))
        if random.random() < 0.4:
            words.append(random.choice(ADJECTIVES))
        words.append(random.choice(NOUNS) + ("-PL" if many else ""))
        if part == "subject":
            words.append(random.choice(VERBS) + ("" if many else "-s"))
    return [*words, "."]


corpus = [word for _ in range(2500) for word in sentence()]
vocab = sorted(set(corpus))
ids = torch.tensor([vocab.index(word) for word in corpus])
blocks = ids[: len(ids) // (T + 1) * (T + 1)].view(-1, T + 1)
split = len(blocks) * 9 // 10
train_blocks, val_blocks = blocks[:split], blocks[split:]


class TinyLM(nn.Module):
    def __init__(self, n_vocab, d=48, heads=4):
        super().__init__()
        self.tok = nn.Embedding(n_vocab, d)
        self.pos = nn.Parameter(0.02 * torch.randn(T, d))
        self.block = nn.TransformerEncoderLayer(d, heads, 2 * d, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(d)

    def forward(self, idx):
        mask = nn.Transformer.generate_square_subsequent_mask(idx.size(1))
        h = self.tok(idx) + self.pos[: idx.size(1)]
        h = self.norm(self.block(h, src_mask=mask, is_causal=True))
        return h @ self.tok.weight.T


def lm_loss(model, batch):
    logits = model(batch[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


model = TinyLM(len(vocab))
opt = torch.optim.AdamW(model.parameters(), lr=2e-3)
for epoch in range(4):
    model.train()
    for i, rows in enumerate(torch.randperm(len(train_blocks)).split(16)):
        loss = lm_loss(model, train_blocks[rows])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if i % 20 == 0:
            print(f"epoch {epoch} batch {i}: loss {loss.item():.3f}")
    model.eval()
    with torch.no_grad():
        print(f"epoch {epoch}: validation loss {lm_loss(model, val_blocks).item():.3f}")
