"""A text as a bag: the mean of its words' vectors and an affine map, after fastText (Joulin et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradus.models.padding import some_left_out

HASH = 1_000_003  # odd and prime, so that equal buckets of two pairs are chance


class BagOfEmbeddings(nn.Module):
    """The mean of the vectors of a text's tokens, and of its pairs of neighbours if asked for, and an affine map.

    A pair's vector is found by a hash of its two ids, so that no list of pairs is kept; pairs in one bucket share it.
    The table's gradient is dense, which every optimiser takes; a step of AdamW on one CPU core takes 1 to 2.5 ms for
    each million numbers of the table, however small the batch, so 2^16 buckets of 32 numbers are much already.

    Args:
        num_tokens: the size of the vocabulary.
        num_outputs: logits.
        width: numbers that stand for a token.
        bigrams: buckets for pairs of neighbouring tokens; 0 for none.
        dropout: share of the mean that is dropped in training.
        word_dropout: share of the tokens that are left out of a training text, each time others.
        padding: the id of tokens that aren't real; they count in no mean.

    Shapes: ids (batch, time) → (batch, num_outputs).
    """

    def __init__(
        self,
        num_tokens: int,
        num_outputs: int,
        width: int = 32,
        bigrams: int = 0,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_outputs, self.width, self.bigrams = num_tokens, num_outputs, width, bigrams
        self.dropout, self.word_dropout, self.padding = dropout, word_dropout, padding
        self.embed = nn.Embedding(num_tokens + bigrams, width, padding)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_outputs)
        with torch.no_grad():
            self.embed.weight.uniform_(-1 / width, 1 / width)[padding].zero_()  # as fastText begins

    def forward(self, ids: Tensor) -> Tensor:
        ids = some_left_out(ids, self.word_dropout, self.padding, self.training)
        if self.bigrams:
            ids = torch.cat([ids, self._pairs(ids)], dim=1)
        count = (ids != self.padding).sum(1, keepdim=True).clamp(min=1)
        return self.head(self.drop(self.embed(ids).sum(1) / count))  # padding's vector is zero

    def _pairs(self, ids: Tensor) -> Tensor:
        """The bucket of each pair of neighbours, past the words' ids, (batch, time) → (batch, time - 1)."""
        left, right = ids[:, :-1], ids[:, 1:]
        buckets = self.num_tokens + (left * HASH + right) % self.bigrams
        return buckets.masked_fill((left == self.padding) | (right == self.padding), self.padding)
