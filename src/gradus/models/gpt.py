"""A language model as today's are built: a Transformer that tells each next token from those before.

Its parts are those of Llama and Qwen3, so that its weights are theirs under other names: RMSNorm, rotary places, normed
queries and keys, shared keys, a gated hidden layer, one table for input and output. ``plain`` gives GPT-2's block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.models.attention import rotary, turned
from gradus.models.dropping import Dropout

FIRST_ROOM = 64  # places in a fresh cache; they double when they are full
Maybe = Tensor | None
State = tuple[Tensor, ...]  # each with the batch first, so that rows can be picked or repeated


class GPT(nn.Module):
    """Embedding → blocks, each of which sees no later token → norm → logits of the next token.

    Args:
        num_tokens: the size of the vocabulary.
        width: features of a token.
        heads: of attention.
        layers: how many blocks.
        dropout: share of what each part answers that is dropped in training; with ``plain`` of attention's weights too.
        max_length: the most tokens that a text may have.
        tie: the output layer's weights are the tokens' vectors (Press and Wolf 2016).
        kv_heads: heads of keys and values, each for several of queries (Ainslie et al. 2023); None: as many as those.
        head_width: features of a head; None: width / heads.
        hidden: features of the hidden layer; None: 8/3 × width, rounded to 64s, or 4 × width with ``plain``.
        plain: GPT-2's block: LayerNorm, learnt places, biases, a hidden layer without a gate, by GELU.
        gelu_by_tanh: of such a block, approximate GELU, as GPT-2's own weights expect; thrice as slow on a CPU.
        qk_norm: bring each query and key to a root mean square of 1 times a learnt weight, as Qwen3 does.
        qkv_bias: give the maps of queries, keys and values a bias, as Qwen2 does.
        theta, stretch: of the rotary places, see ``rotary``.
        epsilon: of the norms.

    Shapes: ids (batch, time) → (batch, time, num_tokens).
    """

    def __init__(
        self,
        num_tokens: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 4,
        dropout: float = 0.0,
        max_length: int = 256,
        tie: bool = True,
        kv_heads: int | None = None,
        head_width: int | None = None,
        hidden: int | None = None,
        plain: bool = False,
        gelu_by_tanh: bool = False,
        qk_norm: bool = True,
        qkv_bias: bool = False,
        theta: float = 10_000.0,
        stretch: tuple[float, ...] | None = None,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.num_tokens, self.width, self.heads, self.layers = num_tokens, width, heads, layers
        self.dropout, self.max_length, self.tie = dropout, max_length, tie
        self.kv_heads, self.head_width = kv_heads or heads, head_width or width // heads
        self.hidden = hidden or (4 * width if plain else 64 * round(8 * width / 3 / 64) or 64)
        self.plain, self.qk_norm, self.qkv_bias = plain, qk_norm and not plain, qkv_bias
        self.gelu_by_tanh = gelu_by_tanh and plain
        self.theta, self.stretch, self.epsilon = theta, stretch, epsilon
        if head_width is None and width % heads:
            raise ValueError(f"a width of {width} cannot be shared among {heads} heads; make it a multiple.")
        if heads % self.kv_heads:
            raise ValueError(f"{heads} heads cannot share {self.kv_heads} of keys and values; make it a divisor.")
        self.embed = nn.Embedding(num_tokens, width)
        self.places = nn.Parameter(0.02 * torch.randn(max_length, width)) if plain else None
        self.drop = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(self) for _ in range(layers))
        self.norm = (nn.LayerNorm if plain else RMSNorm)(width, epsilon)
        self.head = nn.Linear(width, num_tokens, bias=False)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        if tie:
            self.head.weight = self.embed.weight
        else:
            nn.init.normal_(self.head.weight, std=width**-0.5)
        exact = torch.empty(0, dtype=torch.float64)
        turns = rotary(0, max_length, self.head_width, exact, theta, stretch).float()
        self.register_buffer("turns", turns, persistent=False)  # of each place, (2, max_length, d / 2)
        self.turns: Tensor

    def forward(self, ids: Tensor, texts: Tensor | None = None) -> Tensor:
        return self.head(self.features(ids, texts))

    def features(self, ids: Tensor, texts: Tensor | None = None) -> Tensor:
        """What the output layer reads, (batch, time, width).

        Args:
            texts: where a row holds several texts, the number of each token's, (batch, time): none sees another.
        """
        mask = None if texts is None else (texts[:, None, :, None] == texts[:, None, None, :]).tril()
        return self._read(ids, 0, None, mask)

    def begin(self, batch_size: int) -> State:
        """The state before the first token: an empty cache, (batch, layers, 2, kv_heads, room, d), and no token yet."""
        cache = self.fresh_cache(batch_size, FIRST_ROOM)
        return cache, cache.new_zeros(batch_size, 0, dtype=torch.int64)

    def fresh_cache(self, batch_size: int, room: int) -> Tensor:
        """Room for the keys and values of so many tokens a row, (batch, layers, 2, kv_heads, room, d)."""
        return self.embed.weight.new_zeros(batch_size, self.layers, 2, self.kv_heads, room, self.head_width)

    def advance(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits after a token each, (batch,) → (batch, num_tokens), and the state then; that given is used up."""
        logits, state = self.read(tokens[:, None], state)
        return logits.squeeze(1), state

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """The logits after each of some tokens, (batch, time) → (batch, time, num_tokens), and the state after all."""
        cache, before = state
        start = before.shape[1]  # known without asking the device
        missing = start + ids.shape[1] - cache.shape[-2]
        if missing > 0:
            cache = F.pad(cache, (0, 0, 0, max(missing, cache.shape[-2])))
        return self.head(self._read(ids, start, cache)), (cache, torch.cat([before, ids], dim=1))

    def read_at(self, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor:
        """What the output layer reads of tokens that each row has at places of its own, (batch, time, width).

        Args:
            ids: the next tokens of each row, (batch, time).
            starts: how many tokens of each row are in the cache already, (batch,); those of ids are entered after.
            cache: as of ``fresh_cache``, with room for all.
            room: places of the cache that are looked at, at least the largest start + time.
        """
        places = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
        mask = torch.arange(room, device=ids.device) <= places[:, None, :, None]
        return self._read(ids, places, cache[..., :room, :], mask)

    def _read(self, ids: Tensor, start: int | Tensor, cache: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """The blocks over tokens from a place on (the same for all rows), or at places (batch, time)."""
        if isinstance(start, int):
            end = start + ids.shape[1]
            if end > self.max_length:
                raise ValueError(f"a text of {end} tokens, but this model has places for {self.max_length}; cut it.")
            turn, cache = self.turns[:, start:end], None if cache is None else cache[..., :end, :]
        else:
            turn = self.turns[:, start].unsqueeze(2)
        x = self.embed(ids)
        if self.places is not None:
            x = x + (self.places[start:end] if isinstance(start, int) else self.places[start])
        x = self.drop(x)
        for number, block in enumerate(self.blocks):
            x = block(x, turn, start, None if cache is None else cache[:, number], mask)
        return self.norm(x)


class Block(nn.Module):
    """A layer: attention to the tokens so far, then a hidden layer at each place; each adds its answer to its input."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.attention_norm = (nn.LayerNorm if model.plain else RMSNorm)(model.width, model.epsilon)
        self.attention = CausalAttention(model)
        self.hidden_norm = (nn.LayerNorm if model.plain else RMSNorm)(model.width, model.epsilon)
        self.hidden = Hidden(model)
        self.drop = Dropout(model.dropout)

    def forward(self, x: Tensor, turn: Tensor, start: int | Tensor, cache: Maybe = None, mask: Maybe = None) -> Tensor:
        x = x + self.drop(self.attention(self.attention_norm(x), turn, start, cache, mask))
        return x + self.drop(self.hidden(self.hidden_norm(x)))


class CausalAttention(nn.Module):
    """Each token takes a mean of the values of those so far, weighed by how their keys fit its query."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.heads, self.kv_heads = model.heads, model.kv_heads
        self.dropout = model.dropout if model.plain else 0.0  # of weights: without it a step takes half the time
        inner, shared = model.heads * model.head_width, model.kv_heads * model.head_width
        bias = model.plain or model.qkv_bias
        self.queries = nn.Linear(model.width, inner, bias)
        self.keys = nn.Linear(model.width, shared, bias)
        self.values = nn.Linear(model.width, shared, bias)
        self.out = nn.Linear(inner, model.width, model.plain)
        self.queries_norm, self.keys_norm = (
            RMSNorm(model.head_width, model.epsilon) if model.qk_norm else nn.Identity() for _ in range(2)
        )
        self.turns = not model.plain
        begin(self.queries, self.keys, self.values, last=self.out, layers=model.layers)

    def forward(self, x: Tensor, turn: Tensor, start: int | Tensor, cache: Maybe = None, mask: Maybe = None) -> Tensor:
        """Attend to the tokens themselves, or to a cache (batch, 2, kv_heads, room, d) in which they are entered."""
        queries = self.queries_norm(self.queries(x).unflatten(2, (self.heads, -1))).transpose(1, 2)
        keys = self.keys_norm(self.keys(x).unflatten(2, (self.kv_heads, -1))).transpose(1, 2)
        values = self.values(x).unflatten(2, (self.kv_heads, -1)).transpose(1, 2)
        if self.turns:
            queries, keys = turned(queries, turn), turned(keys, turn)
        time = queries.shape[2]
        if cache is not None:
            keys, values = enter(cache, keys, values, start)
            if mask is None and 1 < time < keys.shape[2]:  # a single query is at the last place, and may look at all
                mask = torch.ones(time, keys.shape[2], dtype=torch.bool, device=x.device).tril(keys.shape[2] - time)
        drop, causal, shared = self.dropout * self.training, mask is None and time > 1, self.heads != self.kv_heads
        mixed = F.scaled_dot_product_attention(queries, keys, values, mask, drop, causal, enable_gqa=shared)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Hidden(nn.Module):
    """The hidden layer at each place: down(silu(gate(x)) · up(x)) (Shazeer 2020); GPT-2's: down(gelu(up(x)))."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.gate = None if model.plain else nn.Linear(model.width, model.hidden, bias=False)
        self.up = nn.Linear(model.width, model.hidden, model.plain)
        self.down = nn.Linear(model.hidden, model.width, model.plain)
        self.gelu = "tanh" if model.gelu_by_tanh else "none"  # in PyTorch's words, how it is approximated
        begin(*([self.gate] if self.gate is not None else []), self.up, last=self.down, layers=model.layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(F.gelu(self.up(x), approximate=self.gelu))
        return self.down(F.silu(self.gate(x)) * self.up(x))


class RMSNorm(nn.RMSNorm):
    """x over its root mean square, times learnt weights, in the type that x has."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def begin(*maps: nn.Linear, last: nn.Linear, layers: int) -> None:
    """Draw weights so that each map keeps the variance; so does what all last ones add up to (Radford et al. 2019)."""
    for part in (*maps, last):
        variance = 1 / part.in_features / (2 * layers if part is last else 1)
        nn.init.uniform_(part.weight, -((3 * variance) ** 0.5), (3 * variance) ** 0.5)
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def enter(cache: Tensor, keys: Tensor, values: Tensor, start: int | Tensor) -> tuple[Tensor, Tensor]:
    """Write keys and values (batch, kv_heads, time, d) into the cache; gives all that it holds."""
    new = torch.stack([keys, values], dim=1).to(cache.dtype)
    if isinstance(start, int):
        cache[..., start:, :] = new
    else:  # at places (batch, time)
        rows = torch.arange(len(cache), device=cache.device)[:, None]
        cache[rows, :, :, start] = new.permute(0, 3, 1, 2, 4)
    return cache[:, 0], cache[:, 1]
