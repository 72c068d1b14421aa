"""Decoding against plain references: every text listed, softmax with tokens struck out, each row by itself."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradus.errors import UserError
from gradus.models import GPT, LSTMTranslator
from gradus.tasks.decoding import (
    Decoding,
    State,
    Written,
    beam_search,
    chances,
    greedy,
    sample,
    write,
    write_answers,
    write_on,
)

END = 2


class Oracle:
    """A model whose next token depends on all before: logits from a table, by a number for each beginning."""

    def __init__(self, seed: int, vocabulary: int, depth: int, spread: float = 2.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary = vocabulary
        self.table = spread * torch.randn(
            (vocabulary + 1) ** depth, vocabulary, generator=generator, dtype=torch.float64
        )

    def advance(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        number = state[0] * (self.vocabulary + 1) + tokens + 1
        return self.table[number % len(self.table)], (number,)

    def begin(self, first: Tensor) -> State:
        return (torch.zeros_like(first),)

    def log_probability(self, first: int, text: tuple[int, ...], forbidden: tuple[int, ...] = ()) -> float:
        """Token by token, in plain Python over the table."""
        state, total, before = (torch.zeros(1, dtype=torch.int64),), 0.0, first
        for token in text:
            logits, state = self.advance(torch.tensor([before]), state)
            terms = [-math.inf if v in forbidden else x for v, x in enumerate(logits[0].tolist())]
            total += terms[token] - math.log(sum(math.exp(x) for x in terms))
            before = token
        return total


def all_texts(vocabulary: int, longest: int, forbidden: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every text that ends, its end included, of at most so many tokens."""
    words = [v for v in range(vocabulary) if v != END and v not in forbidden]
    for length in range(longest):
        for text in itertools.product(words, repeat=length):
            yield (*text, END)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    vocabulary=st.integers(3, 4),
    longest=st.integers(1, 4),
    penalty=st.sampled_from([0.0, 0.7, 1.5]),
    forbidden=st.sampled_from([(), (0,)]),
)
def test_a_beam_as_broad_as_all_texts_finds_the_best_of_all(
    seed: int, vocabulary: int, longest: int, penalty: float, forbidden: tuple[int, ...]
) -> None:
    oracle = Oracle(seed, vocabulary, longest)
    first = torch.tensor([0, 1, 2])
    decoding = Decoding(beam=vocabulary**longest, length_penalty=penalty, max_tokens=longest)
    found = beam_search(oracle.advance, oracle.begin(first), first, decoding, END, forbidden)
    for begun, written in zip(first.tolist(), found, strict=True):
        scores = {
            text: oracle.log_probability(begun, text, forbidden) / len(text) ** penalty
            for text in all_texts(vocabulary, longest, forbidden)
        }
        best = max(scores, key=scores.__getitem__)
        assert written.ended
        assert (*written.tokens, END) == best
        assert written.score == pytest.approx(scores[best])
        assert written.log_probability == pytest.approx(scores[best] * len(best) ** penalty)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.7]), beam=st.integers(2, 6))
def test_stopping_early_changes_nothing(seed: int, penalty: float, beam: int) -> None:
    """A plain beam search in Python, which never stops early, finds the same texts."""
    vocabulary, longest = 4, 7
    oracle = Oracle(seed, vocabulary, longest)
    first = torch.tensor([0, 1, 3])
    decoding = Decoding(beam=beam, length_penalty=penalty, max_tokens=longest)
    found = beam_search(oracle.advance, oracle.begin(first), first, decoding, END)
    for begun, written in zip(first.tolist(), found, strict=True):
        live, ended = [((), 0.0)], []
        for _ in range(longest):
            longer = [((*text, v), oracle.log_probability(begun, (*text, v))) for text, _ in live for v in range(4)]
            longer = sorted(longer, key=lambda x: -x[1])[: beam - len(ended)]
            ended += [x for x in longer if x[0][-1] == END]
            live = [x for x in longer if x[0][-1] != END]
        pool = ended or live
        best = max(pool, key=lambda x: x[1] / len(x[0]) ** penalty)
        assert written.ended == bool(ended)
        assert tuple(written.tokens) == (best[0][:-1] if ended else best[0])
        assert written.score == pytest.approx(best[1] / len(best[0]) ** penalty)


def test_an_ended_text_is_not_pushed_out_by_beginnings_that_come_to_nothing() -> None:
    """It ends at once with 0.3; two beginnings of 0.35 each are likelier at first, and then scatter over 40 tokens."""
    vocabulary = 40
    table = torch.full((vocabulary,), 1e-9, dtype=torch.float64)
    table[0], table[1], table[END] = 0.35, 0.35, 0.3

    def advance(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        (step,) = state
        scattered = torch.zeros(len(tokens), vocabulary, dtype=torch.float64)
        logits = torch.where(step[:, None] == 0, table.log().expand(len(tokens), -1), scattered)
        return logits, (step + 1,)

    first = torch.zeros(1, dtype=torch.int64)
    for penalty in (0.0, 0.7):
        decoding = Decoding(beam=3, length_penalty=penalty, max_tokens=4)
        (written,) = beam_search(advance, (first,), first, decoding, END)
        assert written == Written([], pytest.approx(math.log(0.3)), pytest.approx(math.log(0.3)), True)


def test_what_never_ends_is_cut_off_and_says_so() -> None:
    oracle = Oracle(1, 4, 5)
    oracle.table[:, END] = -1e9
    first = torch.tensor([0, 1])
    for decoding in (Decoding(max_tokens=5), Decoding(beam=3, max_tokens=5), Decoding(temperature=1.0, max_tokens=5)):
        for row, written in enumerate(
            write(oracle.advance, oracle.begin(first), first, decoding, end=END, forbidden=())
        ):
            assert not written.ended
            assert len(written.tokens) == 5
            log = oracle.log_probability(row, tuple(written.tokens))
            assert written.log_probability == pytest.approx(log)
            assert written.score == pytest.approx(log / 5**0.7)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.7, 2.0]))
def test_a_beam_of_one_is_greedy(seed: int, penalty: float) -> None:
    oracle = Oracle(seed, 5, 6)
    first = torch.arange(5)
    decoding = Decoding(length_penalty=penalty, max_tokens=6)
    assert beam_search(oracle.advance, oracle.begin(first), first, decoding, END) == _nearly(
        greedy(oracle.advance, oracle.begin(first), first, decoding, END)
    )


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_tokens=6),
        Decoding(beam=3, max_tokens=6),
        Decoding(temperature=1.3, max_tokens=6, seed=4),
        Decoding(temperature=1.0, top_k=2, top_p=0.8, max_tokens=6),
    ],
)
def test_a_row_does_not_depend_on_the_others(decoding: Decoding) -> None:
    oracle = Oracle(3, 5, 6)
    first = torch.tensor([0, 1, 3, 4, 0, 3])
    together = write(oracle.advance, oracle.begin(first), first, decoding, end=END, forbidden=(1,))
    assert len({len(w.tokens) for w in together}) > 1  # some rows end before others
    for row in range(len(first)):
        one = first[row : row + 1]
        alone = write(oracle.advance, oracle.begin(one), one, decoding, end=END, forbidden=(1,), number=row)
        assert alone == _nearly([together[row]])
        assert 1 not in together[row].tokens
        assert END not in together[row].tokens


def test_the_same_seed_gives_the_same_text_and_another_seed_another() -> None:
    oracle = Oracle(3, 5, 6, spread=0.1)
    first = torch.zeros(8, dtype=torch.int64)

    def texts(seed: int) -> list[list[int]]:
        decoding = Decoding(temperature=1.0, seed=seed, max_tokens=6)
        return [w.tokens for w in sample(oracle.advance, oracle.begin(first), first, decoding, END)]

    torch.manual_seed(5)
    once = texts(0)
    torch.manual_seed(6)
    assert texts(0) == once
    assert texts(1) != once
    assert len(set(map(tuple, once))) > 1  # rows that begin alike are drawn apart


@settings(max_examples=60, deadline=None)
@given(
    # no two so near that their shares round to one number, of which either may be struck out
    logits=st.lists(st.integers(-400, 400).map(lambda n: n / 100), min_size=2, max_size=9, unique=True),
    temperature=st.floats(0.2, 3),
    top_k=st.none() | st.integers(1, 9),
    top_p=st.none() | st.floats(0.05, 1),
)
@example(logits=[math.log(x) for x in (0.5, 0.3, 0.2)], temperature=1.0, top_k=2, top_p=0.6)  # 0.5 of 0.8 is enough
def test_chances_are_a_softmax_with_tokens_struck_out(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    shares = {v: math.exp(x / temperature) for v, x in enumerate(logits)}
    kept = sorted(shares, key=lambda v: -shares[v])[:top_k]
    if top_p is not None:
        whole, sum_before, enough = sum(shares[v] for v in kept), 0.0, []
        for v in kept:
            if sum_before / whole < top_p - 1e-12:
                enough.append(v)
            sum_before += shares[v]
        kept = enough
    whole = sum(shares[v] for v in kept)
    decoding = Decoding(temperature=temperature, top_k=top_k, top_p=top_p)
    found = chances(torch.tensor([logits], dtype=torch.float64), decoding)[0].tolist()
    assert found == pytest.approx([shares[v] / whole if v in kept else 0.0 for v in range(len(logits))])


def test_top_k_keeps_k_of_equals() -> None:
    assert (chances(torch.zeros(1, 7), Decoding(temperature=1.0, top_k=3)) > 0).sum() == 3


def test_a_random_number_of_zero_draws_no_token_of_no_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradus.tasks.decoding.keyed_uniform", lambda rows, *_: torch.zeros(len(rows), 1))
    oracle, first = Oracle(0, 5, 2), torch.tensor([4, 3])
    for written in sample(
        oracle.advance, oracle.begin(first), first, Decoding(temperature=1.0, max_tokens=2), END, (0, 1)
    ):
        assert set(written.tokens) <= {3, 4}


def test_draws_come_as_often_as_their_probability_says() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -torch.inf])
    rows = 20_000

    def advance(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return logits.expand(len(tokens), -1), state

    first = torch.zeros(rows, dtype=torch.int64)
    decoding = Decoding(temperature=1.5, top_k=3, max_tokens=1)
    drawn = Counter(w.tokens[0] for w in write(advance, (first,), first, decoding, end=4, forbidden=(3,)))
    expected = torch.softmax(logits[:3] / 1.5, dim=0).tolist()
    assert set(drawn) == {0, 1, 2}
    for token, share in enumerate(expected):
        assert drawn[token] / rows == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / rows))


def test_a_translation_is_the_model_s_own_likeliest() -> None:
    """With a real model: its score is the log-probability that ``forward`` gives the same tokens, and none beats it."""
    torch.manual_seed(1)
    model = LSTMTranslator(9, 6, width=8, layers=1, dropout=0.0).double().eval()
    torch.nn.init.normal_(model.head.bias, std=2.0)
    source = torch.tensor([[4, 5, 6, 3], [7, 3, 0, 0]])
    found = write_answers(model, source, Decoding(beam=64, length_penalty=0.7, max_tokens=3))
    for row, written in enumerate(found):
        scores = {}
        for text in [(3,), *((a, 3) for a in (4, 5)), *((a, b, 3) for a in (4, 5) for b in (4, 5))]:
            logits = model(source[row : row + 1], torch.tensor([[2, *text[:-1]]]))[0].detach()
            logits[:, :3] = -torch.inf  # padding, unknown and beginning are never written
            logs = torch.log_softmax(logits, dim=1)
            scores[text] = sum(float(logs[i, v]) for i, v in enumerate(text)) / len(text) ** 0.7
        best = max(scores, key=scores.__getitem__)
        assert (*written.tokens, 3) == best
        assert written.score == pytest.approx(scores[best])


def test_a_language_model_goes_on_to_its_last_place() -> None:
    torch.manual_seed(0)
    model = GPT(12, width=8, heads=2, layers=1, max_length=10).eval()
    model.head.weight.data[3] = 0.0  # the end is seldom the likeliest
    ids = torch.tensor([[2, 5, 6], [2, 7, 4]])
    found = write_on(model, ids, Decoding(max_tokens=50))
    for row, written in zip(ids, found, strict=True):
        text = [*row.tolist(), *written.tokens]
        assert len(text) <= 11  # the last token that is written needs no place
        assert written.ended or len(text) == 11
        for place in range(3, len(text)):
            logits = model(torch.tensor([text[:place]]))[0, -1]
            logits[:3] = -torch.inf
            assert int(logits.argmax()) == text[place]
    with pytest.raises(UserError, match="a beginning of 11 tokens, but the model has places for 10"):
        write_on(model, torch.full((1, 11), 5), Decoding())


def test_a_model_that_says_nan_writes_nothing_and_says_nan() -> None:
    def advance(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.full((len(tokens), 5), math.nan), state

    first = torch.zeros(2, dtype=torch.int64)
    for written in write(advance, (first,), first, Decoding(beam=3), end=END, forbidden=()):
        assert math.isnan(written.score)
        assert not written.ended


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam": 0}, "beam=0, but it must be a number of at least 1"),
        ({"temperature": -0.5}, "temperature=-0.5, but it must be a number of at least 0"),
        ({"temperature": math.nan}, "temperature=nan, but it must be"),
        ({"length_penalty": -1}, "length_penalty=-1, but it must be"),
        ({"top_k": 0}, "top_k=0, but it must be"),
        ({"max_tokens": 0}, "max_tokens=0, but it must be"),
        ({"top_p": 0.0}, "top_p=0.0, but it is a probability"),
        ({"top_p": 1.5}, "top_p=1.5, but it is a probability"),
        ({"beam": 3, "temperature": 0.8}, "choose: beam=1, or temperature=0"),
    ],
)
def test_a_decoding_that_cannot_be_is_refused_in_one_line(options: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        Decoding(**options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def _nearly(texts: list[Written]) -> list[Written]:
    return [Written(w.tokens, pytest.approx(w.score), pytest.approx(w.log_probability), w.ended) for w in texts]
