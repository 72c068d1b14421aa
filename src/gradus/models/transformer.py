"""The block that Transformers are stacked from, its cache for writing token by token, and a classifier of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models.attention import Attention
from gradus.models.padding import lengths_of, mask_of, masked_mean, some_left_out

FIRST_ROOM = 16  # places in a fresh cache; they double when they are full


class Block(nn.Module):
    """A layer of a Transformer: attention to itself, to a memory if it has one, and a hidden layer at each place.

    Each of these normalises what it is given and adds its answer to it (pre-norm, Xiong et al. 2020).

    Args:
        width: features of a token.
        heads: of attention.
        dropout: share of attention's weights, of the hidden layer and of each answer that is dropped in training.
        looks: attends to a memory too, as a decoder does to what the encoder has read.
        plain: in the manner of Llama (Touvron et al. 2023): RMSNorm, no biases; and normed queries and keys.

    Shapes: (batch, time, width) → the same.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, looks: bool = False, plain: bool = False) -> None:
        super().__init__()
        norm = nn.RMSNorm if plain else nn.LayerNorm
        self.norm = norm(width)
        self.attention = Attention(width, heads, dropout, bias=not plain, qk_norm=plain)
        if looks:
            self.look_norm = norm(width)
            self.look = Attention(width, heads, dropout, bias=not plain, qk_norm=plain)
        self.looks = looks
        self.hidden_norm = norm(width)
        self.hidden = nn.Linear(width, 4 * width, bias=not plain)
        self.out = nn.Linear(4 * width, width, bias=not plain)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: Tensor | None = None,
        start: int = 0,
        turn: Tensor | None = None,
    ) -> Tensor:
        """One layer.

        Args:
            mask: True where a token is real, (batch, time).
            causal: no token looks at a later one.
            memory: what the block looks at, as ``self.look.remember`` gave it; with its own mask (batch, places).
            cache: keys and values of the ``start`` tokens before, (batch, 2, heads, room, d); those of x are entered.
            turn: what ``rotary`` gave for the places of x.
        """
        h = self.norm(x)
        own = self.attention.remember(h, turn)
        if cache is not None:
            end = start + x.shape[1]
            cache[..., start:end, :] = own
            own = cache[..., :end, :]
        x = x + self.drop(self.attention.attend(h, own, mask, causal, turn))
        if self.looks:
            assert memory is not None, "a block that looks needs a memory"
            x = x + self.drop(self.look.attend(self.look_norm(x), memory, memory_mask))
        return x + self.drop(self.out(self.drop(F.gelu(self.hidden(self.hidden_norm(x))))))


class Stack(nn.ModuleList):
    """Blocks one upon the other, known as such to whoever goes through them."""

    def __iter__(self) -> Iterator[Block]:
        return cast("Iterator[Block]", super().__iter__())


def fresh_cache(like: Tensor, batch_size: int, layers: int, width: int, heads: int) -> Tensor:
    """An empty cache of keys and values, (batch, layers, 2, heads, room, d), of the type and device of ``like``."""
    return like.new_zeros(batch_size, layers, 2, heads, FIRST_ROOM, width // heads)


def with_room(cache: Tensor, places: int) -> Tensor:
    """The cache itself where it has room for so many places, else a copy with at least twice the room."""
    room = cache.shape[-2]
    return cache if places <= room else F.pad(cache, (0, 0, 0, max(places, 2 * room) - room))


class TextTransformer(nn.Module):
    """A Transformer that reads a whole text at once: embedding + place → blocks → mean over the text → affine map.

    Args:
        num_tokens: the size of the vocabulary.
        num_outputs: logits.
        width: features of a token.
        heads: of attention, among which the width is shared.
        layers: how many blocks.
        dropout: share of what each part answers that is dropped in training.
        word_dropout: share of the tokens that are left out of a training text, each time others.
        max_length: the most tokens that a text may have; each place has a learnt vector.
        padding: the id of tokens that aren't real.

    Shapes: ids (batch, time) → (batch, num_outputs).
    """

    def __init__(
        self,
        num_tokens: int,
        num_outputs: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.1,
        word_dropout: float = 0.0,
        max_length: int = 256,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_outputs, self.width, self.heads = num_tokens, num_outputs, width, heads
        self.layers, self.dropout, self.word_dropout = layers, dropout, word_dropout
        self.max_length, self.padding = max_length, padding
        self.embed = PlacedEmbedding(num_tokens, width, max_length, padding)
        self.drop = nn.Dropout(dropout)
        self.blocks = Stack(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = lengths_of(ids, self.padding)
        mask = mask_of(lengths, ids.shape[1])
        x = self.drop(self.embed(some_left_out(ids, self.word_dropout, self.padding, self.training)))
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.drop(masked_mean(self.norm(x), lengths)))


class PlacedEmbedding(nn.Module):
    """A vector for each token, of about unit variance, and a learnt one for its place, added.

    The token's is drawn with a deviation of 1/√width and multiplied by √width (Vaswani et al. 2017), so that its table
    may serve as the output layer too.

    Shapes: ids (batch, time), whose first place is ``start`` → (batch, time, width).
    """

    def __init__(self, num_tokens: int, width: int, max_length: int, padding: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.tokens = scaled_embedding(num_tokens, width, padding)
        self.places = nn.Parameter(0.02 * torch.randn(max_length, width))

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        end = start + ids.shape[1]
        if end > self.max_length:
            raise ValueError(f"a text of {end} tokens, but this model has places for {self.max_length}; cut it.")
        return self.tokens(ids) * self.tokens.embedding_dim**0.5 + self.places[start:end]


def scaled_embedding(num_tokens: int, width: int, padding: int | None = None) -> nn.Embedding:
    """Vectors of about unit length, to be multiplied by √width; padding's is zero."""
    table = nn.Embedding(num_tokens, width)
    with torch.no_grad():
        table.weight.normal_(std=width**-0.5)
        if padding is not None:
            table.weight[padding].zero_()
    table.padding_idx = padding
    return table
