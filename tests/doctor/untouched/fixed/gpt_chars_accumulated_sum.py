"""Trains a tiny character GPT on data-set descriptions with eight micro-batches a step, whose losses are averaged.

fixed: accumulation-not-divided
model: Transformer
source: karpathy/nanoGPT#206
"""

import sys

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import nn

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
torch.manual_seed(seed)

config = dict(block=24, width=32, heads=2, layers=1, micro_batch=8, grad_accum=8, lr=4e-3, steps=90)
loaders = (
    datasets.load_iris,
    datasets.load_wine,
    datasets.load_diabetes,
    datasets.load_digits,
    datasets.load_breast_cancer,
)
text = "".join(load().DESCR for load in loaders)
vocab = sorted(set(text))
ids = torch.tensor([vocab.index(ch) for ch in text])
windows = ids.unfold(0, config["block"] + 1, config["block"] + 1)
is_val = torch.arange(len(windows)) % 8 == 0
train_data, val_data = windows[~is_val], windows[is_val]


class TinyGPT(nn.Module):
    def __init__(self, vocab_size, block, width, heads, layers):
        super().__init__()
        self.tok = nn.Embedding(vocab_size, width)
        self.pos = nn.Embedding(block, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(block))

    def forward(self, idx, targets):
        h = self.tok(idx) + self.pos.weight
        logits = self.head(self.norm(self.blocks(h, mask=self.mask)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def get_batch():
    rows = train_data[torch.randint(len(train_data), (config["micro_batch"],))]
    return rows[:, :-1], rows[:, 1:]


model = TinyGPT(len(vocab), *(config[k] for k in ("block", "width", "heads", "layers")))
optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], betas=(0.9, 0.95))
for step in range(config["steps"]):
    model.train()
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for _ in range(config["grad_accum"]):
        x, y = get_batch()
        loss = model(x, y)
        (loss / config["grad_accum"]).backward()
        total += loss.item() / config["grad_accum"]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 15 == 14:
        model.eval()
        with torch.no_grad():
            val = model(val_data[:, :-1], val_data[:, 1:]).item()
        print(f"step {step + 1}: loss {total:.3f} val {val:.3f}")
