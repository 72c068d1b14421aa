"""The official ``openai`` client, unchanged, against a real server process on a real port."""

from __future__ import annotations

import math
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from serving_script import MARKDOWN, started, tiny_model

openai = pytest.importorskip("openai", reason="the openai client isn't installed")

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
FAST = {"max_tokens": 24, "seed": 7}


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with started(writes="gpt", rows=4, queue=8) as (address, _):
        yield address


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    with started(writes="script", rows=4, queue=2, milliseconds=2, api_key="a-key", max_length=2048) as (address, _):
        yield address


@pytest.fixture(scope="module")
def client(served: str) -> Any:
    return openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def script(scripted: str) -> Any:
    return openai.OpenAI(base_url=f"{scripted}/v1", api_key="a-key", max_retries=0)


def chat(client: Any, text: str = "hello", **more: Any) -> Any:
    return client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": text}], **more)


def joined(chunks: Any, index: int = 0) -> str:
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == index)


# ------------------------------------------------------------------------------------------- models


def test_the_models_are_listed(client: Any) -> None:
    [model] = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "gradus")
    assert model.max_model_len == 256


def test_a_model_is_found_by_its_name_and_no_other(client: Any) -> None:
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


# ------------------------------------------------------------------------------------------- chats


def test_an_answer_has_the_form_of_the_protocol(client: Any) -> None:
    answer = chat(client, **FAST)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert abs(answer.created - time.time()) < 60
    assert answer.model == "tiny"
    [choice] = answer.choices
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")


def test_usage_counts_the_tokens(client: Any) -> None:
    tokens = tiny_model().tokens
    answer = chat(client, temperature=0, max_tokens=9, logit_bias=dict.fromkeys(tokens.stop_ids, -100))
    assert answer.usage.prompt_tokens == len(tokens.encode_text("hello")) + 3  # user, end and assistant
    assert answer.usage.completion_tokens == 9
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 9


def test_max_tokens_cuts_an_answer(client: Any) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        answer = chat(client, **{name: 3}, logit_bias={3: -100, 7: -100})
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 3


def test_an_answer_that_ends_by_itself_has_stopped(script: Any) -> None:
    answer = chat(script)
    assert answer.choices[0].message.content == "Hello! How are you?"
    assert answer.choices[0].finish_reason == "stop"


def test_the_same_seed_gives_the_same_answer(client: Any) -> None:
    first, again = (chat(client, seed=3, max_tokens=20, temperature=1.5).choices[0].message.content for _ in range(2))
    other = chat(client, seed=4, max_tokens=20, temperature=1.5).choices[0].message.content
    assert first == again
    assert first != other


def test_without_a_seed_answers_differ(client: Any) -> None:
    assert len({chat(client, max_tokens=20, temperature=2).choices[0].message.content for _ in range(3)}) > 1


def test_temperature_zero_takes_the_likeliest(client: Any) -> None:
    greedy = [chat(client, temperature=0, max_tokens=20, seed=s).choices[0].message.content for s in (1, 2)]
    narrow = chat(client, temperature=1, max_tokens=20, extra_body={"top_k": 1}).choices[0].message.content
    assert greedy[0] == greedy[1] == narrow
    assert chat(client, max_tokens=20, top_p=1e-9).choices[0].message.content == narrow
    assert chat(client, max_tokens=20, extra_body={"min_p": 1}).choices[0].message.content == narrow


def test_logit_bias_forces_and_forbids(client: Any) -> None:
    token = tiny_model().tokens.encode_text("t")[0]
    assert chat(client, max_tokens=5, logit_bias={token: 100}).choices[0].message.content == "ttttt"
    assert "t" not in chat(client, max_tokens=40, logit_bias={token: -100}, temperature=0).choices[0].message.content


def test_penalties_keep_from_repeating(client: Any) -> None:
    token = tiny_model().tokens.encode_text("t")[0]
    bias = {token: 12}
    plain = chat(client, max_tokens=12, temperature=0, logit_bias=bias).choices[0].message.content
    for penalty in ({"frequency_penalty": 2}, {"extra_body": {"repetition_penalty": 10.0}}):
        held = chat(client, max_tokens=12, temperature=0, logit_bias=bias, **penalty).choices[0].message.content
        assert held.count("t") < plain.count("t") == 12


@pytest.mark.parametrize("stop", [" 5", [" 7", " 5", "never"]])
def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(script: Any, stop: Any) -> None:
    answer = chat(script, "count 20", stop=stop)
    assert answer.choices[0].message.content == "0 1 2 3 4"
    assert answer.choices[0].finish_reason == "stop"


def test_a_stream_shows_nothing_of_a_stop_string(script: Any) -> None:
    chunks = list(chat(script, "count 20", stop=["5 6 7"], stream=True))
    assert joined(chunks) == "0 1 2 3 4 "
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_n_answers_have_seeds_of_their_own(client: Any) -> None:
    several = chat(client, n=3, seed=5, max_tokens=16, temperature=1.5)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    alone = [chat(client, seed=5 + i, max_tokens=16, temperature=1.5).choices[0].message.content for i in range(3)]
    assert [choice.message.content for choice in several.choices] == alone
    assert several.usage.completion_tokens > max(len(a) for a in alone) / 8


def test_roles_parts_and_unread_fields_are_taken(script: Any) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "count "}, {"type": "text", "text": "3"}], "name": "Ann"},
    ]
    answer = script.chat.completions.create(
        model="tiny",
        messages=messages,
        user="me",
        store=False,
        metadata={"a": "b"},
        response_format={"type": "text"},
        tools=[],
    )
    assert answer.choices[0].message.content == "0 1 2"


def test_a_conversation_goes_on(script: Any) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "count 4"}]
    answer = script.chat.completions.create(model="tiny", messages=messages)
    assert answer.choices[0].message.content == "0 1 2 3"


# ------------------------------------------------------------------------------------------- streams


def test_a_stream_opens_with_the_role_and_closes_with_the_reason(script: Any) -> None:
    chunks = list(chat(script, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert joined(chunks) == "Hello! How are you?"
    assert len(chunks) > 10  # it came in pieces


def test_a_stream_tells_its_usage_where_asked(script: Any) -> None:
    chunks = list(chat(script, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage == chat(script).usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None for chunk in chat(script, stream=True))


def test_a_stream_and_a_whole_answer_are_the_same(client: Any) -> None:
    for seed in range(4):
        options = {"seed": seed, "max_tokens": 60, "temperature": 1.2}
        assert joined(chat(client, stream=True, **options)) == chat(client, **options).choices[0].message.content


def test_a_stream_has_no_half_characters(script: Any) -> None:
    chunks = list(chat(script, "markdown", stream=True))
    assert joined(chunks) == MARKDOWN
    assert not any("\ufffd" in (chunk.choices[0].delta.content or "") for chunk in chunks)


def test_the_answers_of_one_stream_are_told_apart(client: Any) -> None:
    chunks = list(chat(client, n=3, seed=5, max_tokens=30, temperature=1.5, stream=True))
    whole = chat(client, n=3, seed=5, max_tokens=30, temperature=1.5)
    assert [joined(chunks, i) for i in range(3)] == [choice.message.content for choice in whole.choices]
    assert sorted(c.index for chunk in chunks for c in chunk.choices if c.finish_reason) == [0, 1, 2]


def test_the_clients_own_stream_helper_works(script: Any) -> None:
    with script.chat.completions.stream(model="tiny", messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.content == "Hello! How are you?"
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_the_asynchronous_client_streams_several_at_once(served: str) -> None:
    import asyncio

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0) as client:

            async def one(seed: int) -> str:
                stream = await client.chat.completions.create(
                    model="tiny", messages=HELLO, seed=seed, max_tokens=30, temperature=1.5, stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            return await asyncio.gather(*map(one, range(6)))

    together = asyncio.run(all_of_them())
    client = openai.OpenAI(base_url=f"{served}/v1", api_key="none")
    alone = [chat(client, seed=s, max_tokens=30, temperature=1.5).choices[0].message.content for s in range(6)]
    assert together == alone
    assert len(set(alone)) == 6


# ------------------------------------------------------------------------------------------- log-probabilities


def test_logprobs_are_those_of_the_model(client: Any) -> None:
    import torch

    from gradus.data.chat import encode_chat

    lm = tiny_model()
    answer = chat(
        client, max_tokens=6, seed=1, temperature=1.5, logprobs=True, top_logprobs=3, logit_bias={3: -100, 7: -100}
    )
    told = answer.choices[0].logprobs.content
    assert len(told) == 6
    ids, _ = encode_chat(lm.tokens, HELLO, answer=True)
    names = lm.tokens.spoken(range(lm.tokens.size))
    for entry in told:
        with torch.no_grad():
            logs = torch.log_softmax(lm.model(torch.tensor([ids]))[0, -1], dim=0)
        best = logs.topk(3)
        assert [alternative.token for alternative in entry.top_logprobs] == [names[i] for i in best.indices]
        assert [alternative.logprob for alternative in entry.top_logprobs] == pytest.approx(
            best.values.tolist(), abs=1e-4
        )
        drawn = min(
            (
                i
                for i in range(lm.tokens.size)
                if list(lm.tokens.token_bytes(i)) == entry.bytes and names[i] == entry.token
            ),
            key=lambda i: abs(logs[i].item() - entry.logprob),
        )
        assert entry.logprob == pytest.approx(logs[drawn].item(), abs=1e-4)
        ids.append(drawn)


def test_logprobs_come_with_the_chunks_of_a_stream(script: Any) -> None:
    chunks = list(chat(script, "count 5", stream=True, logprobs=True))
    told = [entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert b"".join(bytes(entry.bytes) for entry in told).decode() == "0 1 2 3 4"
    assert all(entry.top_logprobs == [] for entry in told)
    assert chat(script).choices[0].logprobs is None


# ------------------------------------------------------------------------------------------- plain texts


def test_a_text_goes_on(client: Any) -> None:
    answer = client.completions.create(model="tiny", prompt="the cat", seed=1)
    assert answer.object == "text_completion"
    assert answer.usage.completion_tokens <= 16  # as the protocol has it
    again = client.completions.create(
        model="tiny", prompt=[tiny_model().tokens.eos_id, *tiny_model().tokens.encode_text("the cat")], seed=1
    )
    assert again.choices[0].text == answer.choices[0].text
    assert again.usage == answer.usage


def test_several_prompts_with_several_answers(client: Any) -> None:
    prompts = ["the cat", "the dog"]
    answer = client.completions.create(model="tiny", prompt=prompts, n=2, seed=1, max_tokens=8, temperature=1.5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    alone = [
        client.completions.create(model="tiny", prompt=prompt, seed=seed, max_tokens=8, temperature=1.5).choices[0].text
        for prompt in prompts
        for seed in (1, 2)
    ]
    assert [choice.text for choice in answer.choices] == alone


def test_echo_puts_the_prompt_first_also_in_a_stream(client: Any) -> None:
    options: Any = dict(model="tiny", prompt="the cat", seed=1, echo=True, max_tokens=8)
    whole = client.completions.create(**options).choices[0].text
    assert whole.startswith("the cat")
    chunks = list(client.completions.create(**options, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert chunks[0].choices[0].text == "the cat"


def test_echo_with_logprobs_scores_a_text(client: Any) -> None:
    """What evaluation harnesses ask for: no new token, and the log-probability of each that was given."""
    import torch

    lm = tiny_model()
    ids = lm.tokens.encode_text("the cat sat")
    answer = client.completions.create(model="tiny", prompt=ids, echo=True, max_tokens=0, logprobs=2)
    told = answer.choices[0].logprobs
    with torch.no_grad():
        logs = torch.log_softmax(lm.model(torch.tensor([ids]))[0], dim=1)
    expected = [logs[place, token].item() for place, token in enumerate(ids[1:])]
    assert answer.choices[0].text == "the cat sat" == "".join(told.tokens)
    assert told.token_logprobs[0] is None
    assert told.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
    assert told.text_offset == [sum(len(t) for t in told.tokens[:i]) for i in range(len(ids))]
    assert max(told.top_logprobs[1].values()) == pytest.approx(logs[0].max().item(), abs=1e-4)
    assert answer.usage.completion_tokens == 0
    # of a text the first token has one, too: after the token that the model's texts begin with
    begun = client.completions.create(model="tiny", prompt="the cat sat", echo=True, max_tokens=1, logprobs=0, seed=1)
    told = begun.choices[0].logprobs
    with torch.no_grad():
        logs = torch.log_softmax(lm.model(torch.tensor([[lm.tokens.eos_id]]))[0, 0], dim=0)
    assert told.token_logprobs[0] == pytest.approx(logs[ids[0]].item(), abs=1e-4)
    assert "".join(told.tokens[: len(ids)]) == "the cat sat"
    assert len(told.tokens) in (len(ids), len(ids) + 1)


# ------------------------------------------------------------------------------------------- embeddings


def test_embeddings_are_the_mean_features_at_length_one(client: Any) -> None:
    import torch

    lm = tiny_model()
    texts = ["the cat", "the cat sat on the mat and the dog ran", "你好"]
    answer = client.embeddings.create(model="tiny", input=texts)  # the client asks for base64
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    for text, entry in zip(texts, answer.data, strict=True):
        ids = [lm.tokens.eos_id, *lm.tokens.encode_text(text)]
        with torch.no_grad():
            mean = lm.model.features(torch.tensor([ids]))[0].mean(0)
        assert entry.embedding == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
        assert math.isclose(sum(x * x for x in entry.embedding), 1, abs_tol=1e-5)
    floats = client.embeddings.create(model="tiny", input="the cat", encoding_format="float").data[0].embedding
    assert floats == pytest.approx(answer.data[0].embedding, abs=1e-6)
    assert answer.usage.prompt_tokens == sum(len(lm.tokens.encode_text(t)) + 1 for t in texts)


def test_embeddings_of_ids(client: Any) -> None:
    ids = tiny_model().tokens.encode_text("the cat")
    one, some = (client.embeddings.create(model="tiny", input=given).data[0].embedding for given in (ids, [ids]))
    assert one == some


# ------------------------------------------------------------------------------------------- refusals


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "an array of 1 or more"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", '"user"'),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
        "reads and writes text",
    ),
    ({"temperature": 3}, "temperature", "at most 2"),
    ({"top_p": 0}, "top_p", "more than 0"),
    ({"n": 0}, "n", "at least 1"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "give one"),
    ({"stop": ["a"] * 5}, "stop", "4 at most"),
    ({"stop": [""]}, "stop[0]", "1 or more characters"),
    ({"logit_bias": {"x": 1}}, "logit_bias", "number of a token"),
    ({"logit_bias": {"99999": 1}}, "", "no token 99999"),
    ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20"),
    ({"response_format": {"type": "json_object"}}, "response_format.type", "reads and writes text"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "call no tools"),
    ({"seed": 1.5}, "seed", "a whole number"),
    ({"extra_body": {"temprature": 1}}, "temprature", "Did you mean 'temperature'?"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
]


@pytest.mark.parametrize(("given", "param", "words"), WRONG, ids=lambda v: ",".join(v) if isinstance(v, dict) else None)
def test_a_wrong_field_is_named(client: Any, given: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "tiny", "messages": HELLO, **given})
    error: Any = caught.value.body
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "") == param
    assert words in error["message"]
    assert "\n" not in error["message"]


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "tiny" in caught.value.message


def test_a_prompt_that_is_too_long_is_told_so(client: Any) -> None:
    for call in (
        lambda: chat(client, "x " * 300),
        lambda: client.completions.create(model="tiny", prompt=[9] * 256),
        lambda: client.embeddings.create(model="tiny", input=[9] * 257),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert caught.value.code == "context_length_exceeded"
        assert "256" in caught.value.message
    assert client.completions.create(model="tiny", prompt=[9] * 255, max_tokens=9).usage.completion_tokens == 1


def test_what_plain_texts_and_embeddings_refuse(client: Any) -> None:
    for call, words in (
        (lambda: client.completions.create(model="tiny", prompt="x", suffix="y"), "fill no gaps"),
        (lambda: client.completions.create(model="tiny", prompt=[320]), "at most 319"),
        (lambda: client.completions.create(model="tiny", prompt=["a", 1]), "should be a string"),
        (lambda: client.embeddings.create(model="tiny", input="x", dimensions=8), "32 numbers"),
        (lambda: client.embeddings.create(model="tiny", input=[]), "input is"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            call()


@pytest.mark.parametrize("key", ["wrong", "a-key-", "A-KEY"])
def test_a_wrong_key_is_refused(scripted: str, key: str) -> None:
    stranger = openai.OpenAI(base_url=f"{scripted}/v1", api_key=key, max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(stranger)
    assert caught.value.code == "invalid_api_key"


# ------------------------------------------------------------------------------------ many at once, and going away


def running(address: str) -> int:
    with urllib.request.urlopen(f"{address}/health") as answer:
        import json

        return int(json.load(answer)["running"])


def wait_until(address: str, count: int) -> None:
    """Wait until so many answers are being written."""
    until = time.monotonic() + 10
    while running(address) != count:
        assert time.monotonic() < until, f"{running(address)} rows are in use"
        time.sleep(0.02)


def test_a_stream_that_is_closed_frees_its_row(script: Any, scripted: str) -> None:
    stream = chat(script, "long", stream=True)
    assert next(stream).choices[0].delta.role == "assistant"  # it comes before the engine has taken the question
    wait_until(scripted, 1)
    for _, _chunk in zip(range(5), stream, strict=False):
        assert running(scripted) == 1
    stream.close()
    wait_until(scripted, 0)


def test_a_client_who_gives_up_waiting_frees_its_row(script: Any, scripted: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        chat(script.with_options(timeout=0.3), "long")
    wait_until(scripted, 0)


def test_a_full_queue_is_told_so_and_passes(script: Any, scripted: str) -> None:
    streams = []
    for rows in range(1, 5):
        streams.append(chat(script, "long", stream=True))
        wait_until(scripted, rows)
    streams += [chat(script, "long", stream=True) for _ in range(2)]  # they wait
    with pytest.raises(openai.RateLimitError) as caught:
        chat(script)
    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    closing = threading.Timer(0.3, lambda: [stream.close() for stream in streams])
    closing.start()
    patient = script.with_options(max_retries=5)  # the client waits as it is told
    assert chat(patient).choices[0].message.content == "Hello! How are you?"
    closing.join()
    wait_until(scripted, 0)
