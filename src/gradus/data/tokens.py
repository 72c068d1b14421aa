"""Texts as whole numbers: by character, by word or by byte-level BPE, with a vocabulary of the training rows.

Every vocabulary begins with the same four: padding, unknown, begin and end. That for conversations has four marks more.
One that others made (``tokens_hf.py``) has ids of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradus.data import bpe as pieces
from gradus.data.bpe import MARKS, SPECIAL
from gradus.data.characters import characters_in, codes, whole_characters
from gradus.data.chat_template import TEMPLATE
from gradus.data.ragged import Ragged
from gradus.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, BOS, EOS = range(4)
SYSTEM, USER, ASSISTANT, END = range(4, 8)
IGNORE = -100  # a target that doesn't count: torch's own mark
TOKENIZERS = ("characters", "words", "bpe", "chat")
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]")  # a Chinese character is a word of its own


@dataclass(frozen=True)
class Tokens:
    """A column of texts as sequences of token ids.

    Args:
        tokenizer: characters, words, bpe, chat or imported. bpe and chat are both byte-level BPE; chat cuts Chinese,
            code and numbers better, knows the marks of a conversation, and gives every text back as it was.
        tokens: of characters and words, those after the special ones, the most frequent first.
        bpe: of the others, the tokenizer in the format of the ``tokenizers`` library.
        lower: whether letters are lower-cased first.
        begin, end: whether each text begins with ``<bos>`` and ends with ``<eos>``.
        max_length: the tokens that a longer text is cut to.
        template: how a conversation is written as one text, in Jinja; empty where the vocabulary isn't made for any.
        pad_id, bos_id, eos_id: of padding, of the beginning (None where there is none) and of the end of a text.
        stop_ids: the tokens that end an answer.
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
    template: str = ""
    pad_id: int = PAD
    bos_id: int | None = BOS
    eos_id: int = EOS
    stop_ids: tuple[int, ...] = (EOS,)

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
            size: the most tokens that it may have, the special ones among them; 8,000 for bpe and chat where none is
                given.
            min_count: how often a character or word must occur to have an id of its own.

        Raises:
            UserError: for a tokenizer that there isn't, or a size that leaves no room.
        """
        if tokenizer not in TOKENIZERS:
            raise UserError(f"no tokenizer '{tokenizer}': give {', '.join(TOKENIZERS)}.")
        least = 4 + {"bpe": 256, "chat": 256 + len(MARKS)}.get(tokenizer, 1)
        if size is not None and size < least:
            raise UserError(f"a vocabulary of {size}: {tokenizer} needs at least {least}.")
        column = cls(name, tokenizer, lower=lower, begin=begin, end=end, max_length=max_length)
        told = (column.normalised(text) for text in texts)
        if tokenizer in ("bpe", "chat"):
            trained = pieces.train(told, size or 8_000, max(min_count, 2), chat=tokenizer == "chat")
            marked = {} if tokenizer == "bpe" else {"template": TEMPLATE, "stop_ids": (END, EOS)}
            return column._with(bpe=trained, **marked)
        words = chain.from_iterable(map(WORD.findall, told))
        counts = characters_in(told) if tokenizer == "characters" else Counter(words)
        kept = [t for t in sorted(counts, key=lambda t: (-counts[t], t)) if counts[t] >= min_count]
        return column._with(tokens=tuple(kept[: None if size is None else size - 4]))

    @classmethod
    def load_hf(cls, directory: str | Path) -> Tokens:
        """The tokenizer of a Hugging Face directory: tokenizer.json, and the files beside it.

        Raises:
            UserError: where a file is missing or damaged.
        """
        from gradus.data.tokens_hf import load

        return load(Path(directory))

    def save_hf(self, directory: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json: what ``AutoTokenizer`` loads."""
        from gradus.data.tokens_hf import save

        save(self, Path(directory))

    def with_chat(self) -> Tokens:
        """The same vocabulary with the marks of a conversation, after all other ids, and our template.

        Raises:
            UserError: for one of characters or words, whose tokens are all text.
        """
        if self.has_chat:
            return self
        if not self.bpe:
            raise UserError(f"a vocabulary of {self.tokenizer} has no marks of a conversation; take tokens='chat'.")
        marked = pieces.with_marks(self.bpe)
        end = pieces.library(marked).token_to_id(MARKS[-1])
        return self._with(bpe=marked, template=TEMPLATE, stop_ids=(end, *self.stop_ids))

    @cached_property
    def size(self) -> int:
        """How many ids there are, those of the special tokens among them."""
        return 1 + max(self._bpe.get_vocab().values()) if self.bpe else 4 + len(self.tokens)

    @property
    def has_chat(self) -> bool:
        """Whether it knows how a conversation is written."""
        return bool(self.template)

    @cached_property
    def specials(self) -> dict[str, int]:
        """The ids of the special tokens, by how they are written. No text ever gives one."""
        if not self.bpe:
            return dict(zip(SPECIAL, range(4), strict=True))
        added = self._bpe.get_added_tokens_decoder()
        return {token.content: i for i, token in sorted(added.items()) if token.special}

    @cached_property
    def special_forms(self) -> list[tuple[str, str, str]]:
        """The special tokens as they are written, the longest first, with patterns of the blanks that go with them."""
        added = self._bpe.get_added_tokens_decoder().values() if self.bpe else ()
        found = [(t.content, r"\s*" * t.lstrip, r"\s*" * t.rstrip) for t in added if t.special]
        return sorted(found, key=lambda form: (-len(form[0]), form[0]))

    @property
    def begin_ids(self) -> tuple[int, ...]:
        """What a text begins with where nothing is before it: ours come after the end of another."""
        if self.tokenizer != "imported":
            return (self.eos_id,)
        return (self.bos_id,) if self.bos_id is not None and self.bos_id in self._bpe.encode("").ids else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Every token as text, in the order of the ids."""
        return tuple(self.spoken(range(self.size))) if self.bpe else (*SPECIAL, *self.tokens)

    def normalised(self, text: str) -> str:
        """The text as it is read: composed Unicode (NFC), but for chat and imported ones; in lower case where asked."""
        if self.tokenizer in ("chat", "imported"):
            text = whole_characters(text)
        elif not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return text.lower() if self.lower else text

    def encode_text(self, text: str) -> list[int]:
        """The ids of a text alone, without a beginning or an end. A special token spelled in it is its letters."""
        ids: list[int] = self._split([self.normalised(text)]).flat.tolist() if text else []
        return ids

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
            nothing = self.eos_id if self.tokenizer == "imported" else UNK
            flat, said = np.full(starts[-1], nothing, dtype=rows.flat.dtype), np.ones(starts[-1], dtype=bool)
            if self.begin:
                flat[starts[:-1]], said[starts[:-1]] = self.eos_id if self.bos_id is None else self.bos_id, False
            if self.end:
                flat[starts[1:] - 1], said[starts[1:] - 1] = self.eos_id, False
            said[(starts[:-1] + before)[empty]] = False
            flat[said] = rows.flat
            rows = Ragged(flat, starts)
        return rows

    def encode(self, values: np.ndarray, *, one_hot: bool = False) -> np.ndarray:
        """Texts (rows,) as int64 (rows, the longest's length), filled up with padding."""
        return self.ragged(values.tolist()).padded(np.arange(len(values)), self.pad_id).numpy()

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, without the special ones; exact for characters and bpe.

        Of bytes that are a part of a character only, U+FFFD stands for the part.
        """
        if self.bpe:
            return str(self._bpe.decode([int(i) for i in ids]))
        words = ["\ufffd" if i == UNK else self.tokens[i - 4] for i in map(int, ids) if i not in (PAD, BOS, EOS)]
        return ("" if self.tokenizer == "characters" else " ").join(words)

    def spoken(self, ids: Iterable[int]) -> list[str]:
        """Each id as the text that stands for it in a picture or a table."""
        names = {i: name for name, i in self.specials.items()}
        return [names[i] if i in names else self.decode([i]) for i in map(int, ids)]

    @cached_property
    def characters(self) -> np.ndarray:
        """How many characters of text each token stands for, int64 (size,); the end of a text is one, a line's end."""
        if self.bpe:
            out = pieces.characters_of(self._bpe)
            out[[self.eos_id, *([UNK] if self.tokenizer == "bpe" else [])]] = 1
            return out
        out = np.ones(self.size, dtype=np.int64)
        out[[PAD, BOS]] = 0
        if self.tokenizer == "words":
            out[4:] = [len(token) for token in self.tokens]
        return out

    @cached_property
    def byte_length(self) -> np.ndarray:
        """How many bytes of UTF-8 text each token stands for, int64 (size,); a special one none."""
        if self.bpe:
            return pieces.bytes_of(self._bpe)
        return np.array([0, 0, 0, 0, *(len(token.encode()) for token in self.tokens)], dtype=np.int64)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of UTF-8 text that a token stands for, perhaps a part of a character; of a special one none."""
        if token in self.specials.values():
            return b""
        return pieces.token_bytes(self._bpe, token) if self.bpe else self.tokens[token - 4].encode()

    def describe(self) -> str:
        how = {"characters": "characters", "words": "words", "imported": "tokens of an imported tokenizer"}
        shown = " ".join(repr(t)[1:-1] for t in self.tokens[:8])
        words = how.get(self.tokenizer, "pieces of byte-level BPE")
        return f"text as {words}, {self.size:,} of them" + (f": {shown} …" if shown else "")

    def _with(self, **values: Any) -> Tokens:
        return Tokens(**{**{k: getattr(self, k) for k in self.__dataclass_fields__ if k != "kind"}, **values})

    @cached_property
    def _bpe(self) -> Tokenizer:
        return pieces.library(self.bpe)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens, start=4)}

    @cached_property
    def _chunks(self) -> pieces.Chunks:
        return pieces.Chunks(self._bpe, pieces.CHAT_CHUNK if self.tokenizer == "chat" else pieces.CHUNK)

    @cached_property
    def _table(self) -> np.ndarray:
        """The id of each Unicode character, by its number."""
        table = np.full(0x110000, UNK, dtype=np.int32)
        table[[ord(c) for c in self.tokens]] = np.arange(4, 4 + len(self.tokens))
        return table

    def _split(self, texts: list[str]) -> Ragged:
        if self.tokenizer == "characters":
            starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
            return Ragged(np.take(self._table, codes("".join(texts))), starts)
        if self.tokenizer == "imported":
            return Ragged.of(pieces.of_whole_texts(self._bpe, texts))
        if self.bpe:
            rows = self._chunks.ids(texts)
            starts = np.concatenate([[0], np.cumsum([len(row) // 4 for row in rows])]).astype(np.int64)
            return Ragged(np.frombuffer(b"".join(rows), dtype=np.int32), starts)
        ids = self._ids
        return Ragged.of([ids.get(word, UNK) for word in WORD.findall(text)] for text in texts)
