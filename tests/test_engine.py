"""The engine against writing alone, one text after the other; streams, stop strings, cancelling, what goes wrong."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradus.data import Tokens
from gradus.errors import UserError
from gradus.language import Engine, Full, LanguageModel, Piece, Request, Sampling, generate
from gradus.language import engine as engine_module
from gradus.language.streaming import TextStream
from gradus.models import GPT
from gradus.tasks.decoding import Decoding, write

TEXTS = ["the cat sat on the mat", "猫坐在垫子上。", "😀 émile, 3 + 4 = 7", "tomorrow; and tomorrow"] * 4
PLACES = 150
ENDLESS = {3: -100.0, 7: -100.0}  # no answer comes to an end of its own
SECONDS = 60  # to wait for a thread, at most


@cache
def lm(arithmetic: str = "exact") -> LanguageModel:
    tokens = Tokens.fit("text", TEXTS, "chat", size=300)
    torch.manual_seed(1)
    model = GPT(tokens.size, 32, 4, 2, max_length=PLACES, kv_heads=2)
    with torch.no_grad():
        model.embed.weight.normal_(std=0.4)  # so that some tokens are much likelier than others, and near ties are rare
    return LanguageModel(model, tokens, arithmetic=arithmetic)


def prompts(number: int, count: int) -> list[list[int]]:
    chance = random.Random(number)
    return [[chance.randrange(8, lm().tokens.size) for _ in range(chance.choice((1, 3, 12, 80)))] for _ in range(count)]


def alone(prompt: list[int], sampling: Sampling) -> list[int]:
    """What ``tasks.decoding`` writes after a prompt, one text by itself, up to the first token that ends an answer."""
    model, stops = lm().model, lm().tokens.stop_ids
    decoding = Decoding(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_tokens=min(sampling.max_tokens or PLACES, PLACES - len(prompt)),
        seed=sampling.seed or 0,
    )
    barred = tuple(torch.isinf(lm().barred).nonzero().flatten().tolist())
    with torch.no_grad():
        state = model.begin(1)
        if len(prompt) > 1:
            _, state = model.read(torch.tensor([prompt[:-1]]), state)
    first = torch.tensor(prompt[-1:])
    found = write(model.advance, state, first, decoding, end=stops[0], forbidden=barred)[0].tokens
    ends = [place for place, token in enumerate(found) if token in stops]
    return found[: ends[0]] if ends else found


def without_end(piece: Piece) -> list[int]:
    return piece.tokens[:-1] if piece.tokens[-1] in lm().tokens.stop_ids else piece.tokens


def finish(engine: Engine) -> None:
    while engine.turn():
        pass


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_k=st.sampled_from([None, 20]),
    top_p=st.sampled_from([None, 0.8]),
    max_tokens=st.sampled_from([None, 1, 5, 40]),
    seed=st.integers(0, 1000),
)


@settings(max_examples=12, deadline=None)
@given(number=st.integers(0, 10**6), each=st.lists(samplings, min_size=1, max_size=9), rows=st.integers(1, 5))
def test_answers_written_side_by_side_are_those_written_alone(number: int, each: list[Sampling], rows: int) -> None:
    asked = list(zip(prompts(number, len(each)), each, strict=True))
    engine, chance = Engine(lm(), rows=rows, queue=len(each)), random.Random(number)
    requests = []
    for prompt, sampling in asked:  # they come while others are being written
        requests.append(engine.submit(prompt, sampling))
        for _ in range(chance.choice((0, 0, 1, 7))):
            engine.turn()
    finish(engine)
    for request, (prompt, sampling) in zip(requests, asked, strict=True):
        whole = request.whole()
        assert without_end(whole) == alone(prompt, sampling)
        assert whole.text == lm().tokens.decode(whole.tokens)
        ended = whole.tokens[-1] in lm().tokens.stop_ids
        most = min(sampling.max_tokens or PLACES, PLACES - len(prompt))
        assert whole.finish == ("stop" if ended else "length")
        assert ended or len(whole.tokens) == most


def test_many_threads_get_each_their_own_answer() -> None:
    asked = [(prompt, Sampling(temperature=1, max_tokens=20, seed=i)) for i, prompt in enumerate(prompts(5, 24))]
    found: dict[int, Piece] = {}
    with Engine(lm(), rows=4, queue=24) as engine:

        def ask(place: int) -> None:
            found[place] = engine.submit(*asked[place]).whole()

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        stats = engine.stats()
    assert [without_end(found[place]) for place in range(24)] == [alone(*one) for one in asked]
    assert stats["finished"] == 24
    assert stats["running"] == stats["waiting"] == 0
    assert stats["tokens_read"] == sum(len(prompt) for prompt, _ in asked)
    assert stats["tokens_written"] == sum(len(piece.tokens) for piece in found.values())


@settings(max_examples=10, deadline=None)
@given(number=st.integers(0, 10**6))
def test_with_int8_logits_beside_others_are_those_alone_to_the_last_bit(number: int) -> None:
    chance = random.Random(number)
    asked = prompts(number, 6)
    together = _logits_of(asked, rows=chance.choice((3, 6)), others=True)
    for prompt, logits in zip(asked, together, strict=True):
        assert torch.equal(_logits_of([prompt], rows=1, others=False)[0], logits)


def _logits_of(asked: list[list[int]], rows: int, others: bool) -> list[Tensor]:
    """All logits that each prompt's answer of at most 12 tokens was chosen from."""
    engine = Engine(lm("int8"), rows=rows, queue=len(asked) + 1)
    found: dict[Request, list[Tensor]] = {}
    go_on = engine._go_on

    def watch(requests: list[Request], logits: Tensor) -> None:
        for request, row in zip(requests, logits, strict=True):
            found.setdefault(request, []).append(row.clone())
        go_on(requests, logits)

    engine._go_on = watch  # type: ignore[method-assign]
    if others:
        engine.submit([9], Sampling(max_tokens=30, seed=3))
        engine.turn()
    requests = [engine.submit(prompt, Sampling(max_tokens=12, seed=7)) for prompt in asked]
    finish(engine)
    return [torch.stack(found[request]) for request in requests]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prompt_read_in_parts_is_a_prompt_read_at_once(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [prompts(3, 1)[0] * 40, [9, 10], [11] * 50, [12]]
    asked[0] = asked[0][:100]
    whole = generate(lm(), asked, Sampling(temperature=0, max_tokens=20))
    monkeypatch.setattr(engine_module, "CHUNK", chunk)
    assert generate(lm(), asked, Sampling(temperature=0, max_tokens=20)) == whole


def test_while_a_long_prompt_is_read_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CHUNK", 10)
    engine = Engine(lm(), rows=2)
    running = engine.submit([9], Sampling(seed=0, logit_bias=ENDLESS))
    engine.turn()
    long = engine.submit([9] * 100, Sampling(seed=0))
    for turn in range(1, 11):
        engine.turn()
        assert running.chooser.step == 1 + turn
        assert long.chooser.step == (turn == 10)


def test_generate_gives_answers_in_order_each_with_a_seed_of_its_own() -> None:
    asked = [*prompts(8, 5), [9, 10, 11], [9, 10, 11]]
    sampling = Sampling(temperature=1, max_tokens=15, seed=4)
    found = generate(lm(), asked, sampling, rows=3)
    for number, (prompt, piece) in enumerate(zip(asked, found, strict=True)):
        assert without_end(piece) == alone(prompt, Sampling(temperature=1, max_tokens=15, seed=4 + number))
    assert found[5].tokens != found[6].tokens
    assert generate(lm(), asked, sampling) == found
    assert generate(lm(), [], sampling) == []
    assert generate(lm(), [[9]], Sampling()) != generate(lm(), [[9]], Sampling())


def test_tokens_that_are_no_text_are_never_written() -> None:
    bias = dict.fromkeys((0, 1, 2, 4, 5, 6), 1000.0)
    piece = generate(lm(), [[9]], Sampling(temperature=0, max_tokens=10, logit_bias=bias))[0]
    assert not set(piece.tokens) & set(bias)
    assert generate(lm(), [[9]], Sampling(logit_bias={7: 1000.0}))[0] == Piece("", [7], [], "stop")
    assert generate(lm(), [[9]], Sampling(logit_bias={3: 1000.0}))[0] == Piece("", [3], [], "stop")


def test_a_prompt_that_does_not_fit_is_told_with_both_numbers() -> None:
    engine = Engine(lm())
    with pytest.raises(UserError, match=f"a prompt of {PLACES} tokens, but the model has places for {PLACES}"):
        engine.submit([9] * PLACES, Sampling())
    with pytest.raises(UserError, match="empty"):
        engine.submit([], Sampling())
    with pytest.raises(UserError, match="vocabulary has 0 to 299"):
        engine.submit([300], Sampling())
    last = engine.submit([9] * (PLACES - 1), Sampling(temperature=0, logit_bias=ENDLESS))
    finish(engine)
    assert (len(last.whole().tokens), engine.stats()["finished"]) == (1, 1)


def test_the_queue_has_its_limit() -> None:
    engine = Engine(lm(), rows=2, queue=3)
    for _ in range(5):
        engine.submit([9], Sampling(max_tokens=3, seed=1))
    with pytest.raises(Full, match="5 requests are waiting"):
        engine.submit([9], Sampling())
    engine.turn()
    with pytest.raises(Full, match="3 requests are waiting"):
        engine.submit([9], Sampling())
    finish(engine)
    assert engine.stats()["finished"] == 5
    engine.submit([9], Sampling())


def test_a_cancelled_request_leaves_its_row_at_the_next_step() -> None:
    each = [Sampling(seed=i, logit_bias=ENDLESS) for i in range(5)]
    engine = Engine(lm(), rows=3, queue=5)
    requests = [engine.submit([9 + i], sampling) for i, sampling in enumerate(each)]
    for _ in range(4):
        engine.turn()
    requests[0].cancel()  # is being written
    requests[4].cancel()  # is waiting
    engine.turn()
    assert [request in engine._writing for request in requests] == [False, True, True, True, False]
    for request in (requests[0], requests[4]):
        assert request.whole().finish == "cancelled"
    finish(engine)
    for i in (1, 2, 3):
        assert requests[i].whole() == generate(lm(), [[9 + i]], each[i])[0]


def test_a_request_cancelled_while_its_prompt_is_read_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CHUNK", 16)
    engine = Engine(lm(), rows=4)
    one = engine.submit([9, 10], Sampling(temperature=0, max_tokens=30))
    two = engine.submit([11] * 5, Sampling(temperature=0, max_tokens=9))
    engine.turn()
    long, other = engine.submit([12] * 90, Sampling()), engine.submit([13] * 60, Sampling(temperature=0, max_tokens=9))
    engine.turn()
    engine.turn()
    long.cancel()
    finish(engine)
    assert long.whole().finish == "cancelled"
    for request, most in ((one, 30), (two, 9), (other, 9)):
        assert without_end(request.whole()) == alone(request.ids, Sampling(temperature=0, max_tokens=most))


def test_logits_that_are_not_finite_end_one_answer_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = lm().writer
    read = type(writer).read_at

    def broken(self: Any, ids: Tensor, starts: Tensor, cache: Tensor, room: int) -> Tensor:
        features = read(self, ids, starts, cache, room)
        features[(starts == 6)] = float("nan")
        return features

    monkeypatch.setattr(type(writer), "read_at", broken)
    engine = Engine(lm(), rows=2)
    bad = engine.submit([9] * 5, Sampling(temperature=0, max_tokens=9, logit_bias=ENDLESS))
    good = engine.submit([9] * 20, Sampling(temperature=0, max_tokens=9))
    finish(engine)
    assert without_end(good.whole()) == alone([9] * 20, Sampling(temperature=0, max_tokens=9))
    with pytest.raises(UserError, match="not finite") as told:
        bad.whole()
    assert "\n" not in str(told.value)


def test_an_error_of_the_engine_reaches_everybody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: errors.append(told.exc_value))
    engine = Engine(lm(), rows=1, queue=5)
    heard: list[Piece] = []
    requests = [engine.submit([9], Sampling(seed=0)) for _ in range(3)]
    requests[2].on_piece(heard.append)
    monkeypatch.setattr(engine._cache, "step", lambda *_: 1 / 0)
    with engine:
        for request in requests[:2]:
            with pytest.raises(UserError, match="the engine failed: ZeroDivisionError: division by zero"):
                list(request.pieces())
        assert engine._thread is not None
        engine._thread.join(SECONDS)
        assert [piece.finish for piece in heard] == ["error"]
        with pytest.raises(UserError, match="the engine failed"):
            engine.submit([9], Sampling())
        assert "ZeroDivisionError" in engine.closed
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_closing_ends_what_is_being_written() -> None:
    engine = Engine(lm(), rows=1, queue=2).start()
    held, go_on = threading.Event(), threading.Event()
    engine.run(lambda: (held.set(), go_on.wait(SECONDS)))
    held.wait(SECONDS)
    requests = [engine.submit([9], Sampling(seed=0, logit_bias=ENDLESS)) for _ in range(3)]
    threading.Timer(0.05, go_on.set).start()
    engine.close()
    assert [request.whole().finish for request in requests] == ["cancelled"] * 3
    with pytest.raises(UserError, match="closed"):
        engine.submit([9], Sampling())
    with pytest.raises(UserError, match="closed"):
        engine.run(lambda: None)


def test_a_function_runs_between_two_steps_in_the_engines_thread() -> None:
    with Engine(lm()) as engine:
        endless = engine.submit([9], Sampling(seed=0, logit_bias=ENDLESS))
        assert engine.run(lambda: threading.current_thread().name).result(SECONDS) == "gradus-engine"
        failed = engine.run(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failed.result(SECONDS)
        assert endless.whole().finish == "length"  # the engine went on


def test_pieces_that_came_before_are_told_to_who_listens_late(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(lm())
    sampling = Sampling(temperature=1, max_tokens=30, seed=5, logit_bias=ENDLESS)
    late, faulty = engine.submit([9], sampling), engine.submit([9], sampling)
    heard: list[Piece] = []

    def fail(_: Piece) -> None:
        raise RuntimeError("no")

    faulty.on_piece(fail)
    for _ in range(12):
        engine.turn()
    assert heard == []
    late.on_piece(heard.append)
    assert heard
    finish(engine)
    assert [token for piece in heard for token in piece.tokens] == generate(lm(), [[9]], sampling)[0].tokens
    assert [piece.finish for piece in heard] == [None] * (len(heard) - 1) + ["length"]
    assert faulty.cancelled
    assert "a listener failed: RuntimeError: no" in capsys.readouterr().err


def test_next_waits_no_longer_than_it_may() -> None:
    request = Engine(lm()).submit([9], Sampling())
    with pytest.raises(TimeoutError):
        request.next(timeout=0.01)


@pytest.fixture(params=["chat", "bpe", "characters", "words"])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    size = {"chat": 300, "bpe": 290}.get(request.param)
    return Tokens.fit("text", TEXTS, request.param, size=size)


def streamed(tokens: Tokens, ids: list[int], stop: tuple[str, ...] = ()) -> Iterator[str]:
    stream = TextStream(tokens, stop)
    for token in ids:
        yield stream.add(token)
        if stream.stopped:
            return
    yield stream.finish()


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_stream_of_any_text_has_no_half_character(text: str) -> None:
    vocabulary = lm().tokens
    ids = vocabulary.encode_text(text)
    pieces = list(streamed(vocabulary, ids))
    assert "".join(pieces) == vocabulary.decode(ids) == text
    place = 0
    for piece in pieces:  # each is what stands there, of whole characters
        assert text[place : place + len(piece)] == piece
        place += len(piece)


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10**9), count=st.integers(0, 40))
def test_a_stream_of_any_tokens_joins_to_their_text(number: int, count: int) -> None:
    vocabulary = lm().tokens
    ids = [random.Random(number + i).randrange(vocabulary.size) for i in range(count)]
    assert "".join(streamed(vocabulary, ids)) == vocabulary.decode(ids)


def test_streams_of_every_tokenizer_join_to_the_text(tokens: Tokens) -> None:
    for text in TEXTS[:4]:
        ids = tokens.ragged([text]).flat.tolist()
        assert "".join(streamed(tokens, ids)) == tokens.decode(ids)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text("abc\n猫", max_size=25),
    stop=st.lists(st.text("abc\n猫", min_size=1, max_size=4), max_size=3).map(tuple),
)
def test_a_stream_ends_before_the_stop_string_that_is_complete_first(text: str, stop: tuple[str, ...]) -> None:
    vocabulary = lm().tokens
    pieces = list(streamed(vocabulary, vocabulary.encode_text(text), stop))
    found = [(text.find(one) + len(one), text.find(one)) for one in stop if one in text]
    assert "".join(pieces) == text[: min(found)[1] if found else None]
    for number in range(len(pieces)):
        assert not any(one in "".join(pieces[:number]) for one in stop)


def test_a_stop_string_across_tokens_ends_an_answer() -> None:
    sampling = Sampling(temperature=1, max_tokens=60, seed=2, logit_bias=ENDLESS)
    whole = generate(lm(), [[9]], sampling)[0]
    for begin in (5, 20):
        stop = whole.text[begin : begin + 3]
        cut = generate(lm(), [[9]], Sampling(**{**vars(sampling), "stop": (stop, "never seen")}))[0]
        assert cut.text == whole.text[: whole.text.find(stop)]
        assert cut.finish == "stop"
        assert cut.tokens == whole.tokens[: len(cut.tokens)]
        assert len(cut.tokens) < len(whole.tokens)


def test_logprobs_come_with_their_tokens() -> None:
    engine = Engine(lm())
    request = engine.submit([9, 10], Sampling(temperature=1, max_tokens=25, seed=6, logprobs=3))
    finish(engine)
    pieces = list(request.pieces())
    tokens = [token for piece in pieces for token in piece.tokens]
    for piece in pieces:
        assert [told.token for told in piece.logprobs] == piece.tokens
    with torch.no_grad():
        logs = torch.log_softmax(lm().model(torch.tensor([[9, 10, *tokens]]))[0, 1:-1], dim=1)
    told = [one for piece in pieces for one in piece.logprobs]
    assert [one.logprob for one in told] == pytest.approx(
        logs.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist(), abs=1e-3
    )
    assert all(len(one.top) == 3 for one in told)
    assert [one.top[0][0] for one in told] == logs.argmax(1).tolist()
