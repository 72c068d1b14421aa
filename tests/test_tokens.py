"""Texts as ids and back: exact round trips, special tokens, characters counted, rows of unequal length."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.data import columns
from gradus.data.bpe import MARKS
from gradus.data.ragged import Ragged
from gradus.data.tokens import BOS, EOS, PAD, SPECIAL, UNK, Tokens
from gradus.errors import UserError

CHINESE = ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。", "床前明月光，疑是地上霜。"]
TEXTS = st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30), min_size=1)


@given(TEXTS)
@settings(max_examples=50, deadline=None)
def test_characters_and_bpe_come_back_exactly(texts: list[str]) -> None:
    for tokenizer in ("characters", "bpe"):
        column = Tokens.fit("text", texts, tokenizer, begin=True, end=True, size=300 if tokenizer == "bpe" else None)
        rows = column.ragged(texts)
        for number, text in enumerate(texts):
            assert column.decode(rows[number]) == column.normalised(text)
            assert rows[number][0] == BOS
            assert rows[number][-1] == EOS
            told = column.characters[rows[number][1:]].sum()
            assert told == len(column.normalised(text)) + 1  # and the end, a line's end


def test_bpe_of_texts_that_training_never_saw_comes_back_too() -> None:
    column = Tokens.fit("text", ["abc abd"], "bpe", size=300)
    for text in ("日本語 😀 naïve", "  two  blanks ", "<eos> is five letters <pad>", "tab\tand\nline"):
        assert column.decode(column.ragged([text])[0]) == text
    assert not {PAD, BOS, EOS} & set(column.ragged(["<eos><pad><bos>"])[0].tolist())


def test_chinese_poems_in_characters_and_in_bpe(real) -> None:
    with gzip.open(real("poems/wujue.txt.gz"), "rt", encoding="utf-8") as file:
        poems = [line.rstrip("\n") for line in file][:2000]
    for tokenizer in ("characters", "bpe"):
        column = Tokens.fit("text", poems, tokenizer, size=6000)
        rows = column.ragged(poems)
        decoded = [column.decode(rows[i]) for i in range(len(poems))]
        assert decoded == poems
        assert column.characters[rows.flat].sum() == sum(map(len, poems))


def test_an_unknown_character_or_word_is_unknown_and_an_empty_text_is_one_unknown() -> None:
    letters = Tokens.fit("text", ["abcab"], "characters")
    assert letters.labels == (*SPECIAL, "a", "b", "c")  # the most frequent first, then by letter
    assert letters.encode(np.array(["abz", ""], dtype=object)).tolist() == [[4, 5, UNK], [UNK, PAD, PAD]]
    words = Tokens.fit("text", ["the cat sat", "the dog"], "words", min_count=2)
    assert words.ragged(["the cow"])[0].tolist() == [4, UNK]
    assert words.decode([4, UNK]) == "the \ufffd"


def test_words_of_chinese_are_its_characters_and_signs_stand_alone() -> None:
    column = Tokens.fit("text", [CHINESE[0] + "Gold-7!"], "words", lower=True)
    assert set("白日依山盡，黃河入海流。-!") | {"gold", "7"} == set(column.tokens)


def test_letters_and_their_accents_are_composed_once() -> None:
    column = Tokens.fit("text", ["é"], "characters")
    assert column.ragged(["e\u0301"])[0].tolist() == column.ragged(["é"])[0].tolist() == [4]


def test_a_longer_text_is_cut_with_its_ends_kept() -> None:
    column = Tokens.fit("text", ["abcdefgh"], "characters", begin=True, end=True, max_length=5)
    row = column.ragged(["abcdefgh"])[0]
    assert row.tolist() == [BOS, 4, 5, 6, EOS]


def test_a_column_comes_back_from_its_json() -> None:
    for tokenizer in ("characters", "words", "bpe"):
        column = Tokens.fit("text", CHINESE, tokenizer, size=300, begin=True, max_length=9)
        again = columns.from_json(json.loads(json.dumps(columns.to_json(column))))
        assert again == column
        assert isinstance(again, Tokens)
        assert again.ragged(CHINESE).flat.tolist() == column.ragged(CHINESE).flat.tolist()


@pytest.mark.parametrize(
    ("tokenizer", "size", "words"), [("syllables", None, "syllables"), ("bpe", 100, "at least 260")]
)
def test_a_tokenizer_or_a_size_that_there_is_not(tokenizer: str, size: int | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Tokens.fit("text", CHINESE, tokenizer, size=size)


@given(st.lists(st.lists(st.integers(4, 99), max_size=7), min_size=1, max_size=9), st.integers(1, 5), st.randoms())
@settings(deadline=None)
def test_ragged_rows_against_lists(rows: list[list[int]], most: int, chance) -> None:
    ragged = Ragged.of(rows)
    assert [ragged[i].tolist() for i in range(len(rows))] == rows
    cut = ragged.cut(most)
    assert [cut[i].tolist() for i in range(len(rows))] == [row[:most] for row in rows]
    some = [chance.randrange(len(rows)) for _ in range(4)]
    for first, drop in ((0, 0), (1, 0), (0, 1)):
        wanted = [rows[i][first : len(rows[i]) - drop] for i in some]
        longest = max(map(len, wanted))
        padded = ragged.padded(np.array(some), -7, first=first, drop=drop)
        assert padded.dtype == torch.int64
        assert padded.tolist() == [row + [-7] * (longest - len(row)) for row in wanted]


# the vocabulary of conversations


MIXED = (
    "def total(self, items):\n    return sum(item.price for item in items)  # 合计\n\n\n"
    "The cat's hat costs 1234.50 € — don't you think? 你好，世界！我们用 Python 编写程序。\r\n\tTab; 'self' 第12章\n"
    "a;\n b.\n\n  (c!\n_，\n²;\r\n.\n"
)
ODD = (
    " \t\n\r\x0b\x1c\x1f\x85\xa0\u2003\u2028\u3000\u200b\ufeff"
    "ab'sStT19²!_，(;.é\u0301世中〇々ßſカ한ก\u0e33Ⅳ\U00020001🙂\ufaff"
)
WHOLE = st.characters(exclude_categories=("Cs",))
ANY_TEXT = st.one_of(st.text(alphabet=ODD, max_size=30), st.text(WHOLE, max_size=30))


@pytest.fixture(scope="module")
def chat() -> Tokens:
    return Tokens.fit("text", [MIXED * 20, *CHINESE * 20], "chat", size=500)


@given(text=ANY_TEXT)
@settings(max_examples=500, deadline=None)
def test_chunks_are_cut_where_the_library_joins_nothing(chat: Tokens, text: str) -> None:
    told = chat.normalised(text)
    expected = chat._bpe.encode(told, add_special_tokens=False).ids
    assert chat.encode_text(text) == expected
    assert chat.ragged([text])[0].tolist() == (expected or [UNK])


@given(text=ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back_from_chat_and_its_bytes_are_counted(chat: Tokens, text: str) -> None:
    ids = chat.encode_text(text)
    assert chat.decode(ids) == text
    whole = text.encode()
    assert b"".join(map(chat.token_bytes, ids)) == whole
    assert chat.byte_length[ids].sum() == len(whole)
    assert chat.characters[ids].sum() == len(text)


def test_nothing_is_normalised_and_half_a_character_is_a_lost_one(chat: Tokens) -> None:
    assert chat.decode(chat.encode_text("e\u0301é\r\n\x00")) == "e\u0301é\r\n\x00"
    assert chat.decode(chat.encode_text("a\ud800b")) == "a\ufffdb"
    assert chat.decode(chat.encode_text("世")[:-1]) == "\ufffd"


def test_digits_stand_alone_and_chinese_apart_from_all_else(chat: Tokens) -> None:
    assert chat.spoken(chat.encode_text("1234")) == ["1", "2", "3", "4"]
    for token in map(chat.token_bytes, range(chat.size)):
        text = token.decode("utf-8", "ignore")
        han = [c for c in text if "\u4e00" <= c <= "\u9fff"]
        assert len(han) in (0, len(text)), text
        assert len([c for c in text if c.isdigit()]) <= (len(text) == 1), text


def test_marks_spelled_in_a_text_are_its_letters(chat: Tokens) -> None:
    assert chat.specials == {name: i for i, name in enumerate((*SPECIAL, *MARKS))}
    for name in chat.specials:
        ids = chat.encode_text(f"a {name} b")
        assert min(ids) >= len(chat.specials)
        assert chat.decode(ids) == f"a {name} b"
    assert chat.decode([BOS, *chat.encode_text("yes"), 7, EOS]) == "yes"
    assert (chat.pad_id, chat.bos_id, chat.eos_id, chat.stop_ids) == (PAD, BOS, EOS, (7, EOS))


def test_a_long_chunk_isnt_remembered_and_its_ids_are_the_same(chat: Tokens) -> None:
    long = "x" * 5_000
    before = len(chat._chunks.known)
    ids = chat.encode_text(f"{long} {long}")
    assert ids == chat._bpe.encode(f"{long} {long}", add_special_tokens=False).ids
    assert len(chat._chunks.known) <= before


def test_the_vocabulary_of_an_old_run_still_loads() -> None:
    column = Tokens.fit("text", CHINESE, "bpe", size=300)
    spec = columns.to_json(column)
    old = {
        k: v for k, v in spec.items() if k in ("kind", "name", "tokenizer", "tokens", "bpe", "lower", "begin", "end")
    }
    assert columns.from_json({**old, "max_length": None}) == column
    assert (column.stop_ids, column.has_chat) == ((EOS,), False)


def test_marks_are_added_to_a_vocabulary_without_any() -> None:
    plain = Tokens.fit("text", [MIXED], "bpe", size=300)
    marked = plain.with_chat()
    assert marked.size == plain.size + 4
    assert marked.has_chat
    assert [marked.specials[name] for name in MARKS] == list(range(plain.size, marked.size))
    assert marked.stop_ids == (marked.size - 1, EOS)
    assert marked.encode_text(MIXED) == plain.encode_text(MIXED)
    assert marked.with_chat() is marked
    with pytest.raises(UserError, match="a vocabulary of words"):
        Tokens.fit("text", [MIXED], "words").with_chat()
