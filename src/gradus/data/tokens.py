"""Texts as whole numbers: by character, by word or by byte-level BPE, with a vocabulary of the training rows.

Every vocabulary begins with the same four: padding, unknown, begin and end.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradus.data.ragged import Ragged
from gradus.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, BOS, EOS = range(4)
SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
IGNORE = -100  # a target that doesn't count: torch's own mark
TOKENIZERS = ("characters", "words", "bpe")
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]")  # a Chinese character is a word of its own
_SPACE, _INK = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"  # as Unicode has it: Python counts four separators more
CHUNK = re.compile(rf"{_SPACE}?{_INK}{{1,4096}}|{_SPACE}+(?={_SPACE}{_INK})|{_SPACE}+")
"""A word with the blank before it: byte-level BPE never joins what stands on either side of a cut there."""
MAX_KNOWN = 200_000  # chunks whose pieces are remembered: they take some 50 MB


@dataclass(frozen=True)
class Tokens:
    """A column of texts as sequences of token ids.

    Args:
        tokenizer: characters, words or bpe.
        tokens: of characters and words, those after the special ones, the most frequent first.
        bpe: of bpe, the tokenizer in the format of the ``tokenizers`` library.
        lower: whether letters are lower-cased first.
        begin, end: whether each text begins with ``<bos>`` and ends with ``<eos>``.
        max_length: the tokens that a longer text is cut to.
    """

    kind: ClassVar[str] = "tokens"
    name: str
    tokenizer: str
    tokens: tuple[str, ...] = ()
    bpe: str = ""
    lower: bool = False
    begin: bool = False
    end: bool = False
    max_length: int | None = None

    @classmethod
    def fit(
        cls,
        name: str,
        texts: Sequence[str] | np.ndarray,
        tokenizer: str,
        *,
        size: int | None = None,
        min_count: int = 1,
        lower: bool = False,
        begin: bool = False,
        end: bool = False,
        max_length: int | None = None,
    ) -> Tokens:
        """A vocabulary of these texts, the training rows.

        Args:
            size: the most tokens that it may have, the special ones among them; 8,000 for bpe where none is given.
            min_count: how often a character or word must occur to have an id of its own.

        Raises:
            UserError: for a tokenizer that there isn't, or a size that leaves no room.
        """
        if tokenizer not in TOKENIZERS:
            raise UserError(f"no tokenizer '{tokenizer}': give {', '.join(TOKENIZERS)}.")
        least = 4 + (256 if tokenizer == "bpe" else 1)
        if size is not None and size < least:
            raise UserError(f"a vocabulary of {size}: {tokenizer} needs at least {least}.")
        column = cls(name, tokenizer, lower=lower, begin=begin, end=end, max_length=max_length)
        told = (column.normalised(text) for text in texts)
        if tokenizer == "bpe":
            return column._with(bpe=_train_bpe(told, size or 8_000, max(min_count, 2)))
        words = chain.from_iterable(map(WORD.findall, told))
        counts = _characters_in(told) if tokenizer == "characters" else Counter(words)
        kept = [t for t in sorted(counts, key=lambda t: (-counts[t], t)) if counts[t] >= min_count]
        return column._with(tokens=tuple(kept[: None if size is None else size - 4]))

    @property
    def size(self) -> int:
        """How many tokens there are, the special ones among them."""
        return self._bpe.get_vocab_size() if self.tokenizer == "bpe" else 4 + len(self.tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every token as text, in the order of the ids."""
        if self.tokenizer == "bpe":
            return tuple(self.decode([i]) if i > EOS else SPECIAL[i] for i in range(self.size))
        return (*SPECIAL, *self.tokens)

    def normalised(self, text: str) -> str:
        """The text as it is read: composed Unicode (NFC), in lower case where asked."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return text.lower() if self.lower else text

    def ragged(self, texts: Iterable[str]) -> Ragged:
        """The ids of each text, end to end; of an empty one nothing but its begin and end, else one unknown token."""
        told = [self.normalised(text) for text in texts]
        rows = self._split(told)
        if self.max_length is not None:
            rows = rows.cut(self.max_length - self.begin - self.end)
        empty = (rows.lengths == 0) & (not (self.begin or self.end))
        if self.begin or self.end or empty.any():
            before, after = np.full(len(rows), int(self.begin)), np.full(len(rows), int(self.end))
            lengths = rows.lengths + before + after + empty
            starts = np.concatenate([[0], np.cumsum(lengths)])
            flat, said = np.full(starts[-1], UNK, dtype=rows.flat.dtype), np.ones(starts[-1], dtype=bool)
            if self.begin:
                flat[starts[:-1]], said[starts[:-1]] = BOS, False
            if self.end:
                flat[starts[1:] - 1], said[starts[1:] - 1] = EOS, False
            said[(starts[:-1] + before)[empty]] = False
            flat[said] = rows.flat
            rows = Ragged(flat, starts)
        return rows

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        """Texts (rows,) as int64 (rows, the longest's length), filled up with padding."""
        return self.ragged(values.tolist()).padded(np.arange(len(values))).numpy()

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, without the special ones; exact for characters and bpe."""
        kept = [int(i) for i in ids if i not in (PAD, BOS, EOS)]
        if self.tokenizer == "bpe":
            return str(self._bpe.decode([i for i in kept if i != UNK]))
        words = ["\ufffd" if i == UNK else self.tokens[i - 4] for i in kept]
        return ("" if self.tokenizer == "characters" else " ").join(words)

    def spoken(self, ids: Iterable[int]) -> list[str]:
        """Each id as the text that stands for it in a picture or a table."""
        return [SPECIAL[i] if i <= EOS else self.decode([i]) for i in map(int, ids)]

    @cached_property
    def characters(self) -> np.ndarray:
        """How many characters of text each token stands for, int64 (size,); the end of a text is one, a line's end."""
        out = np.ones(self.size, dtype=np.int64)
        out[[PAD, BOS]] = 0
        if self.tokenizer == "bpe":  # a character's first byte counts, the others of it don't
            following = {letter for byte, letter in _byte_letters().items() if 0x80 <= byte < 0xC0}
            for token, i in self._bpe.get_vocab().items():
                if i > EOS:
                    out[i] = sum(letter not in following for letter in token)
        elif self.tokenizer == "words":
            out[4:] = [len(token) for token in self.tokens]
        return out

    def describe(self) -> str:
        how = {"characters": "characters", "words": "words", "bpe": "pieces of byte-level BPE"}[self.tokenizer]
        shown = " ".join(repr(t)[1:-1] for t in self.tokens[:8])
        return f"text as {how}, {self.size:,} of them" + (f": {shown} …" if shown else "")

    def _with(self, **values: Any) -> Tokens:
        return Tokens(**{**{k: getattr(self, k) for k in self.__dataclass_fields__ if k != "kind"}, **values})

    @cached_property
    def _bpe(self) -> Tokenizer:
        from tokenizers import Tokenizer

        found = Tokenizer.from_str(self.bpe)
        found.encode_special_tokens = True  # "<eos>" in a text is five letters of it
        return found

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens, start=4)}

    @cached_property
    def _known(self) -> dict[str, bytes]:
        """Chunks of text that were met before, and their pieces' ids as int32."""
        return {}

    @cached_property
    def _table(self) -> np.ndarray:
        """The id of each Unicode character, by its number."""
        table = np.full(0x110000, UNK, dtype=np.int32)
        table[[ord(c) for c in self.tokens]] = np.arange(4, 4 + len(self.tokens))
        return table

    def _split(self, texts: list[str]) -> Ragged:
        if self.tokenizer == "characters":
            starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
            return Ragged(np.take(self._table, _codes("".join(texts))), starts)
        if self.tokenizer == "bpe":
            return self._pieces(texts)
        ids = self._ids
        return Ragged.of([ids.get(word, UNK) for word in WORD.findall(text)] for text in texts)

    def _pieces(self, texts: list[str]) -> Ragged:
        """BPE chunk by chunk, each chunk by the library but once: words recur, so that most need only be looked up."""
        known = self._known
        if len(known) > MAX_KNOWN:
            known.clear()
        chunks = [CHUNK.findall(text) for text in texts]
        fresh = list(dict.fromkeys(chunk for chunk in chain.from_iterable(chunks) if chunk not in known))
        for begin in range(0, len(fresh), 10_000):
            some = fresh[begin : begin + 10_000]
            for chunk, found in zip(some, self._bpe.encode_batch_fast(some, add_special_tokens=False), strict=True):
                known[chunk] = array("i", found.ids).tobytes()
        rows = [b"".join(map(known.__getitem__, row)) for row in chunks]
        starts = np.concatenate([[0], np.cumsum([len(row) // 4 for row in rows])]).astype(np.int64)
        return Ragged(np.frombuffer(b"".join(rows), dtype=np.int32), starts)


def _characters_in(texts: Iterator[str]) -> Counter[str]:
    """How often each character comes in all the texts."""
    counts = np.zeros(0x110000, dtype=np.int64)
    while some := list(islice(texts, 10_000)):
        counts += np.bincount(_codes("".join(some)), minlength=len(counts))
    return Counter({chr(code): int(counts[code]) for code in np.flatnonzero(counts)})


def _codes(text: str) -> np.ndarray:
    """The number of each character, (characters,), in as few bytes as will do."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    if len(codes) == len(text):
        return codes
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _train_bpe(texts: Iterable[str], size: int, min_count: int) -> str:
    """Byte-level BPE (Sennrich et al. 2016, on bytes as GPT-2 does), as the library's JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def _byte_letters() -> dict[int, str]:
    """The letter that byte-level BPE writes for each byte: printable ones as they are, the others from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}
