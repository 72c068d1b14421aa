"""Byte-level BPE by the ``tokenizers`` library: training, the ids of texts, and what each token stands for.

Before bytes are joined, a text is cut. ``bpe`` cuts as GPT-2 does. ``chat`` cuts as Qwen2 does: contractions, words
with the sign before them, digits one by one, signs with the ends of lines after them, blanks. Programs that read GGUF
files know that cut by its name.
"""

from __future__ import annotations

import functools
import json
import re
from array import array
from collections.abc import Iterable
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
MARKS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")  # of a conversation; their ids are 4 to 7

MAX_KNOWN = 200_000  # chunks whose pieces are remembered: they take some 50 MB
LONG = 256  # characters of a chunk that isn't remembered: it won't come again
LONGEST = 16  # bytes of a token of chat: rules and indents of any length would fill a small vocabulary
PART = 100_000  # characters of a long text that an imported tokenizer is given at a time

_SPACE, _INK = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"  # as Unicode has it: Python counts four separators more
CHUNK = re.compile(rf"{_SPACE}?{_INK}{{1,4096}}|{_SPACE}+(?={_SPACE}{_INK})|{_SPACE}+")
"""A word with the blank before it: what cuts as GPT-2 does never joins what stands on either side of a cut there."""

CHAT_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The parts that nothing is joined across: Qwen2's."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
TRAINED_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    rf"|[{_HAN}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}{_HAN}]?(?:(?![{_HAN}])\p{{L}})+"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}{_HAN}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The same, with Chinese characters apart: so no token is learnt that joins them with a sign or with Latin letters."""

_BLANK = "\t\x0b\x0c \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # all of Unicode's but the line's ends
_ANY = rf"{_BLANK}\r\n"
_WORD = "0-9A-Za-z\u4e00-\u9fa5"
_SIGN = r"!-/:-@\[-`{-~" + "\u2010-\u2027\u3001-\u3003\u3008-\u3011\uff01-\uff0f\uff1a-\uff20"
_OTHER = rf"[^{_ANY}{_WORD}{_SIGN}]"  # may be a letter, for all that is known here
CHAT_CHUNK = re.compile(
    rf"[{_BLANK}]?(?:[^{_ANY}{_WORD}]*[{_WORD}]+(?:{_OTHER}[^{_ANY}{_WORD}]*[{_WORD}]+)*(?:{_OTHER}[^{_ANY}{_WORD}]*)?"
    rf"|[^{_ANY}{_WORD}]+)(?:(?<![{_WORD}])[\r\n][{_ANY}]*RUN_ENDS)?"  # a sign may be joined with a line's end
    rf"|[{_ANY}]+RUN_ENDS".replace("RUN_ENDS", rf"(?:(?<=[\r\n])(?=[^{_ANY}])|(?=[{_BLANK}][^{_ANY}])|\Z)")
)
"""One or several whole parts of ``CHAT_CUT``, found without knowing what is a letter in all of Unicode.

A last blank belongs to the word after it; letters and digits never join with a sign after them.
"""

_AT_LINE = re.compile(r"(?<=[0-9A-Za-z])(?=\n[!-~])")  # what cuts as GPT-2, Llama 3 or Qwen2 joins nothing across it
_ONE_BYTE = re.compile("<0x([0-9A-F]{2})>")


def train(texts: Iterable[str], size: int, min_count: int, *, chat: bool) -> str:
    """Byte-level BPE (Sennrich et al. 2016, on bytes as GPT-2 does), as the library's JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _cut(TRAINED_CUT) if chat else pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=[*SPECIAL, *(MARKS if chat else ())],
        max_token_length=LONGEST if chat else None,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if chat:
        tokenizer.pre_tokenizer = _cut(CHAT_CUT)
    return str(tokenizer.to_str())


def library(raw: str) -> Tokenizer:
    """A tokenizer of the library from its JSON. A special token that is spelled in a text is the letters of it."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_str(raw)
    found.encode_special_tokens = True
    return found


def with_marks(raw: str) -> str:
    """A tokenizer, as the library's JSON, with the marks of a conversation after all other ids."""
    from tokenizers import AddedToken

    found = library(raw)
    found.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in MARKS])
    return str(found.to_str())


@functools.cache
def byte_letters() -> dict[int, str]:
    """The letter that byte-level BPE writes for each byte: printable ones as they are, the others from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}


class Chunks:
    """BPE chunk by chunk, each chunk by the library but once: words recur, so that most need only be looked up.

    Args:
        cut: finds the chunks; nothing is ever joined across their edges.
    """

    def __init__(self, tokenizer: Tokenizer, cut: re.Pattern[str]) -> None:
        self.tokenizer, self.cut = tokenizer, cut
        self.known: dict[str, bytes] = {}

    def ids(self, texts: list[str]) -> list[bytes]:
        """The ids of each text, as the bytes of int32 numbers."""
        known = self.known
        if len(known) > MAX_KNOWN:
            known.clear()
        chunks = [self.cut.findall(text) for text in texts]
        fresh = list(dict.fromkeys(chunk for chunk in chain.from_iterable(chunks) if chunk not in known))
        for begin in range(0, len(fresh), 10_000):
            some = fresh[begin : begin + 10_000]
            for chunk, found in zip(
                some, self.tokenizer.encode_batch_fast(some, add_special_tokens=False), strict=True
            ):
                known[chunk] = array("i", found.ids).tobytes()
        rows = [b"".join(map(known.__getitem__, row)) for row in chunks]
        for chunk in fresh:
            if len(chunk) > LONG:
                del known[chunk]
        return rows


def of_whole_texts(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """The ids of each text by any tokenizer; a long text is read in parts, where it cuts at ends of lines."""
    cut = is_byte_level(tokenizer)
    parts = [_parts(text) if cut and len(text) > PART else [text] for text in texts]
    found = iter(tokenizer.encode_batch_fast(list(chain.from_iterable(parts)), add_special_tokens=False))
    return [[i for one in islice(found, len(some)) for i in one.ids] for some in parts]


def cuts_as_chat(raw: str) -> bool:
    """Whether a tokenizer, as the library's JSON, cuts as ``chat`` does and changes nothing."""
    spec = json.loads(raw)
    return spec.get("normalizer") is None and spec.get("pre_tokenizer") == json.loads(_cut(CHAT_CUT).__getstate__())


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Whether its tokens are runs of bytes."""
    return "ByteLevel" in repr(tokenizer.decoder)


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes of UTF-8 text that a token stands for; of one that the tokenizer lacks none."""
    letters, added = tokenizer.id_to_token(token), tokenizer.get_added_tokens_decoder()
    if letters is None:
        return b""
    if token in added:
        return b"" if added[token].special else str(letters).encode()
    if is_byte_level(tokenizer):
        return bytes(map(_byte_of().__getitem__, letters))
    if found := _ONE_BYTE.fullmatch(letters):
        return bytes([int(found[1], 16)])
    return str(letters).replace("▁", " ").removeprefix("##").encode()  # as SentencePiece and WordPiece write them


def bytes_of(tokenizer: Tokenizer) -> np.ndarray:
    """How many bytes of UTF-8 text each token stands for, int64 (ids,); a special one none."""
    ids = tokenizer.get_vocab().values()
    out = np.zeros(1 + max(ids), dtype=np.int64)
    for i in ids:
        out[i] = len(token_bytes(tokenizer, i))
    return out


def characters_of(tokenizer: Tokenizer) -> np.ndarray:
    """How many characters each token stands for, int64 (ids,): a character's first byte counts, the others don't."""
    ids = tokenizer.get_vocab().values()
    out = np.zeros(1 + max(ids), dtype=np.int64)
    for i in ids:
        out[i] = sum(byte & 0xC0 != 0x80 for byte in token_bytes(tokenizer, i))
    return out


def _parts(text: str) -> list[str]:
    places = [0]
    while found := _AT_LINE.search(text, places[-1] + PART):
        places.append(found.start())
    return [text[begin:end] for begin, end in pairwise([*places, len(text)])]


def _cut(at: str) -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(at), "isolated"), as_bytes])


@functools.cache
def _byte_of() -> dict[str, int]:
    return {letter: byte for byte, letter in byte_letters().items()}
