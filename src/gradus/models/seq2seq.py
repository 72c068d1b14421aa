"""Encoder–decoders, which answer a text with a text: LSTMs with attention, and a Transformer.

In training the decoder is told the true tokens before each (``forward``); to write, it is told its own (``begin``,
then ``advance`` token by token). Both give the same logits for the same tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models.padding import lengths_of, mask_of
from gradus.models.recurrent import Recurrence
from gradus.models.transformer import Block, PlacedEmbedding, Stack, fresh_cache, scaled_embedding, with_room

State = tuple[Tensor, ...]  # each with the batch first, so that rows can be picked or repeated


class LSTMTranslator(nn.Module):
    """A bidirectional LSTM reads; another writes and at each token looks back at what was read.

    It looks by a dot product of a learnt map of its memory with the encoder's (Luong et al. 2015), and begins with the
    encoder's last memory.

    Args:
        num_source: the size of the vocabulary that is read.
        num_target: the size of the vocabulary that is written.
        width: features of a token, and of the memory; an even number.
        layers: LSTMs one upon the other, on either side.
        dropout: share of what goes from layer to layer that is dropped in training.
        padding: the id of tokens that aren't real, on either side.
        tie: the output layer's weights are the target tokens' vectors (Press and Wolf 2016).

    Shapes: source (batch, places), previous (batch, time) → (batch, time, num_target).
    """

    def __init__(
        self,
        num_source: int,
        num_target: int,
        width: int = 256,
        layers: int = 2,
        dropout: float = 0.3,
        padding: int = 0,
        tie: bool = True,
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width is shared by two directions, so it must be even, not {width}.")
        self.num_source, self.num_target, self.width, self.layers = num_source, num_target, width, layers
        self.dropout, self.padding, self.tie = dropout, padding, tie
        self.embed_source = scaled_embedding(num_source, width, padding)
        self.embed_target = scaled_embedding(num_target, width, padding)
        self.encoder = Recurrence(width, width // 2, layers, "lstm", bidirectional=True, dropout=dropout)
        self.first_cell = nn.Linear(width, width)
        self.decoder = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.query = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, num_target)
        if tie:
            self.head.weight = self.embed_target.weight
        self.drop = nn.Dropout(dropout)

    def forward(self, source: Tensor, previous: Tensor) -> Tensor:
        memory, mask, hidden, cell = self.begin(source)
        decoded, _ = self._decode(previous, hidden, cell)
        return self._logits(decoded, memory, mask)

    def begin(self, source: Tensor) -> State:
        """Read a source: the encoder's memories, where they are real, and the decoder's first hidden and cell state.

        Shapes: (batch, places, width), (batch, places), and twice (batch, layers, width).
        """
        lengths = lengths_of(source, self.padding)
        x = self.drop(self.embed_source(source) * self.width**0.5)
        memory, hidden = self.encoder(x, lengths)
        return memory, mask_of(lengths, source.shape[1]), hidden, self.first_cell(hidden)

    def advance(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits of the token after these, (batch,) → (batch, num_target), and the state from there on."""
        memory, mask, hidden, cell = state
        decoded, (hidden, cell) = self._decode(tokens[:, None], hidden, cell)
        return self._logits(decoded, memory, mask).squeeze(1), (memory, mask, hidden, cell)

    def attention(self, source: Tensor, previous: Tensor) -> Tensor:
        """How much each token that is written takes from each that was read, (batch, time, places), summing to 1."""
        memory, mask, hidden, cell = self.begin(source)
        decoded, _ = self._decode(previous, hidden, cell)
        fit = self.query(decoded) @ memory.mT / self.width**0.5
        return torch.softmax(fit.masked_fill(~mask[:, None], -torch.inf), dim=-1)

    def _decode(self, previous: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self.drop(self.embed_target(previous) * self.width**0.5)
        first = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        decoded, (hidden, cell) = self.decoder(x, first)
        return decoded, (hidden.transpose(0, 1), cell.transpose(0, 1))

    def _logits(self, decoded: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        found = F.scaled_dot_product_attention(self.query(decoded), memory, memory, mask[:, None])
        mixed = torch.tanh(self.mix(torch.cat([decoded, found], dim=-1)))
        return self.head(self.drop(mixed))


class TransformerTranslator(nn.Module):
    """A Transformer reads the source at once; another writes, looking at what is written and at what was read.

    Args:
        num_source: the size of the vocabulary that is read.
        num_target: the size of the vocabulary that is written.
        width: features of a token.
        heads: of attention, among which the width is shared.
        layers: blocks, on either side.
        dropout: share of what each part answers that is dropped in training.
        max_length: the most tokens of a source and of a target; each place has a learnt vector.
        padding: the id of tokens that aren't real, on either side.
        tie: the output layer's weights are the target tokens' vectors.

    Shapes: source (batch, places), previous (batch, time) → (batch, time, num_target).
    """

    def __init__(
        self,
        num_source: int,
        num_target: int,
        width: int = 256,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.3,
        max_length: int = 64,
        padding: int = 0,
        tie: bool = True,
    ) -> None:
        super().__init__()
        self.num_source, self.num_target, self.width, self.heads = num_source, num_target, width, heads
        self.layers, self.dropout, self.max_length = layers, dropout, max_length
        self.padding, self.tie = padding, tie
        self.embed_source = PlacedEmbedding(num_source, width, max_length, padding)
        self.embed_target = PlacedEmbedding(num_target, width, max_length, padding)
        self.encoder = Stack(Block(width, heads, dropout) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = Stack(Block(width, heads, dropout, looks=True) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_target)
        if tie:
            self.head.weight = self.embed_target.tokens.weight
        self.drop = nn.Dropout(dropout)

    def forward(self, source: Tensor, previous: Tensor) -> Tensor:
        memory, mask = self._encode(source)
        x = self.drop(self.embed_target(previous))
        for block in self.decoder:
            x = block(x, causal=True, memory=block.look.remember(memory), memory_mask=mask)
        return self.head(self.decoder_norm(x))

    def begin(self, source: Tensor) -> State:
        """Read a source: its keys and values for each block, where they are real, an empty cache, no token yet.

        Shapes: (batch, layers, 2, heads, places, d), (batch, places), (batch, layers, 2, heads, room, d), (batch, 0).
        """
        memory, mask = self._encode(source)
        seen = torch.stack([block.look.remember(memory) for block in self.decoder], dim=1)
        cache = fresh_cache(memory, len(source), self.layers, self.width, self.heads)
        return seen, mask, cache, source[:, :0]

    def advance(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits of the token after these, (batch,) → (batch, num_target), and the state from there on.

        The state that is given is used up: its cache is written to.
        """
        seen, mask, cache, written = state
        start = written.shape[1]  # known without asking the device
        cache = with_room(cache, start + 1)
        x = self.embed_target(tokens[:, None], start)
        for number, block in enumerate(self.decoder):
            x = block(x, causal=True, memory=seen[:, number], memory_mask=mask, cache=cache[:, number], start=start)
        logits = self.head(self.decoder_norm(x)).squeeze(1)
        return logits, (seen, mask, cache, torch.cat([written, tokens[:, None]], dim=1))

    def attention(self, source: Tensor, previous: Tensor) -> Tensor:
        """How much each token that is written takes from each that was read, the mean over the last block's heads.

        Shapes: source (batch, places), previous (batch, time) → (batch, time, places), summing to 1 over the places.
        """
        memory, mask = self._encode(source)
        x = self.embed_target(previous)
        *lower, last = self.decoder
        for block in lower:
            x = block(x, causal=True, memory=block.look.remember(memory), memory_mask=mask)
        x = x + last.attention(last.norm(x), causal=True)
        return last.look.weights(last.look_norm(x), memory, mask).mean(1)

    def _encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What was read, (batch, places, width), and where it is real, (batch, places)."""
        mask = mask_of(lengths_of(source, self.padding), source.shape[1])
        x = self.drop(self.embed_source(source))
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x), mask
