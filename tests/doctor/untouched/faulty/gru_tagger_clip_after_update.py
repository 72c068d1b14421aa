"""Trains a GRU that tags the nesting depth in bracket strings; the gradients are clipped after the update.

code: clip-misplaced
model: RNN
source: taesunwhang/UMS-ResSel#3
"""

import sys

import torch
import torch.nn as nn

DEPTHS = 5


def bracket_batch(n, length=20):
    """Tokens 0 '(', 1 ')', 2 '.'; the tag is the depth after the token, kept within 0..4."""
    tokens = torch.multinomial(torch.tensor([0.42, 0.38, 0.2]), n * length, replacement=True).view(n, length)
    tags = torch.zeros_like(tokens)
    depth = torch.zeros(n, dtype=torch.long)
    move = torch.tensor([1, -1, 0])
    for t in range(length):
        depth = (depth + move[tokens[:, t]]).clamp(0, DEPTHS - 1)
        tags[:, t] = depth
    return tokens, tags


class Tagger(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.emb = nn.Embedding(3, 8)
        self.gru = nn.GRU(8, hidden, batch_first=True)
        self.out = nn.Linear(hidden, DEPTHS)

    def forward(self, tokens):
        states, _ = self.gru(self.emb(tokens))
        return self.out(states)


class PostTraining:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.train_tokens, self.train_tags = bracket_batch(960)
        self.dev_tokens, self.dev_tags = bracket_batch(200)
        self.model = Tagger()
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.4, momentum=0.9)
        self.max_gradient_norm = 0.25

    def loss(self, tokens, tags):
        return self.criterion(self.model(tokens).flatten(0, 1), tags.flatten())

    def train(self, epochs=8):
        for epoch in range(epochs):
            self.model.train()
            for rows in torch.randperm(len(self.train_tokens)).split(32):
                loss = self.loss(self.train_tokens[rows], self.train_tags[rows])
                loss.backward()
                self.optimizer.step()
                nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
                self.optimizer.zero_grad()
            self.evaluate(epoch, loss.item())

    def evaluate(self, epoch, last):
        self.model.eval()
        with torch.no_grad():
            right = self.model(self.dev_tokens).argmax(-1) == self.dev_tags
            dev = self.loss(self.dev_tokens, self.dev_tags).item()
        print(f"epoch {epoch} loss {last:.4f} dev {dev:.4f} tags right {right.float().mean().item():.3f}")


PostTraining(int(sys.argv[1]) if len(sys.argv) > 1 else 0).train()
