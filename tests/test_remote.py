"""The client of OpenAI-style servers against a real one on this machine: answers, and every way in which none comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from openai_server import FakeServer, serving

from gradus.errors import UserError
from gradus.language.remote import Remote, TooLong

HELLO = [{"role": "user", "content": "héllo 你好"}]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_an_answer_comes_in_pieces_with_its_end_and_its_counts(server: FakeServer) -> None:
    chat = Remote(server.url, model="tiny").chat(HELLO, {"temperature": 0.5})
    assert list(chat) == ["", "You said: ", "héllo 你好", "", ""]
    assert (chat.finish, chat.usage) == ("stop", {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})
    body = server.asked[0]
    assert (body["messages"], body["temperature"], body["stream"]) == (HELLO, 0.5, True)
    assert "Authorization" not in server.requests[0][1]


def test_the_pieces_come_as_they_are_written(server: FakeServer) -> None:
    """The second piece is asked for only once the first is here; so they can't have come together at the end."""
    go_on = threading.Event()

    def say(body: object) -> Iterator[str]:
        yield "first"
        assert go_on.wait(10)
        yield "second"

    server.say = say  # type: ignore[assignment]
    pieces = (piece for piece in Remote(server.url, model="tiny").chat(HELLO, {}) if piece)
    assert next(pieces) == "first"
    go_on.set()
    assert list(pieces) == ["second"]


def test_a_server_that_does_not_stream_is_understood(server: FakeServer) -> None:
    server.fault = "whole"
    chat = Remote(server.url, model="tiny").chat(HELLO, {})
    assert "".join(chat) == "You said: héllo 你好"
    assert (chat.finish, chat.usage) == ("length", {"completion_tokens": 2})


def test_the_only_model_is_taken_and_of_several_one_must_be_named(server: FakeServer) -> None:
    assert Remote(server.url).model == "tiny"
    server.models = ["big", "small"]
    with pytest.raises(UserError, match=r"which of its models\? Name it: --model NAME. It has big, small"):
        Remote(server.url)


def test_the_key_is_sent(server: FakeServer) -> None:
    list(Remote(server.url, model="tiny", api_key="sk-secret").chat(HELLO, {}))
    assert server.requests[0][1]["Authorization"] == "Bearer sk-secret"


def test_a_key_is_not_sent_on_to_another_address(server: FakeServer) -> None:
    server.fault = "redirect"
    with pytest.raises(UserError, match=r"it sends on to http://elsewhere.example/v1. Give that address"):
        Remote(server.url, model="tiny", api_key="sk-secret").chat(HELLO, {})


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("401", r"it wants a key \(401\). Give --api-key KEY.*words for 401"),
        ("429", r"\(429\). Try again in 7 s. It says: words for 429"),
        ("500", r": 500 Internal Server Error. It says: words for 500"),
        ("html", r"isn't of the OpenAI protocol. Look at the address"),
    ],
)
def test_a_refusal_is_one_line_in_the_servers_words(server: FakeServer, fault: str, told: str) -> None:
    server.fault = fault
    with pytest.raises(UserError, match=told) as caught:
        list(Remote(server.url, model="tiny").chat(HELLO, {}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [("cut", "was cut off"), ("error within", "an error: out of memory"), ("nonsense", "isn't of the OpenAI")],
)
def test_a_stream_that_breaks_is_told_after_what_has_come(server: FakeServer, fault: str, told: str) -> None:
    server.fault = fault
    pieces: list[str] = []
    with pytest.raises(UserError, match=told):
        for piece in Remote(server.url, model="tiny").chat(HELLO, {}):
            pieces.append(piece)
    assert "".join(pieces) == "You said: "


def test_an_unknown_model_is_told_with_those_that_there_are(server: FakeServer) -> None:
    server.models = ["llama3", "qwen3:0.6b"]
    with pytest.raises(UserError, match=r"no model 'lama3'. Did you mean 'llama3'\?"):
        Remote(server.url, model="lama3").chat(HELLO, {})


def test_a_conversation_that_is_too_long_is_told_apart(server: FakeServer) -> None:
    server.longest = 3
    with pytest.raises(TooLong, match=r"longer than the model reads\. It says: This model's maximum"):
        Remote(server.url, model="tiny").chat(HELLO, {})


def test_an_address_without_v1_is_told_with_it(server: FakeServer) -> None:
    address = server.url.removesuffix("/v1")
    with pytest.raises(UserError, match=rf"no OpenAI-style server answers there \(404\). Is it {address}/v1\?"):
        Remote(address)


def test_nothing_that_listens_no_host_and_no_address(server: FakeServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="nothing listens there"):
        Remote(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(UserError, match="no such host, or no network"):
        Remote("http://nowhere.invalid/v1")
    for bad in ("http://", "http://[::1", "http://host:port/v1", "ftp://host/v1"):
        with pytest.raises(UserError, match="not the address of a server"):
            Remote(bad)


def test_a_silent_server_is_not_waited_for_without_end(server: FakeServer) -> None:
    server.fault = "silent"
    with pytest.raises(UserError, match=r"not a byte for 0\.2 s"):
        Remote(server.url, model="tiny", silence=0.2).chat(HELLO, {})


def test_a_proxy_is_not_asked_for_this_machine(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Remote(server.url).model == "tiny"


def test_leaving_a_stream_closes_the_connection(server: FakeServer) -> None:
    server.say, server.pause = lambda body: ["word "] * 1000, 0.005
    pieces = iter(Remote(server.url, model="tiny").chat(HELLO, {}))
    assert [next(pieces) for _ in range(3)][-1] == "word "
    pieces.close()  # type: ignore[attr-defined]
    assert server.gone.wait(10)


def test_vectors_come_in_the_order_of_the_texts(server: FakeServer) -> None:
    server.embed = lambda text: [float(len(text)), 1.0]
    vectors = Remote(server.url).embed(["a", "bcd"])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1.0, 1.0], [3.0, 1.0]]
    server.fault = "no vectors"
    with pytest.raises(UserError, match="no vector for each came back"):
        Remote(server.url).embed(["a"])
    server.fault, server.embed = "", lambda text: [float("nan"), 1.0]
    with pytest.raises(UserError, match="no vector for each came back"):
        Remote(server.url).embed(["a"])


def test_a_key_that_could_forge_a_header_is_refused(server: FakeServer) -> None:
    with pytest.raises(UserError, match="letters, digits and signs of ASCII"):
        Remote(server.url, model="tiny", api_key="a\r\nX-Evil: 1")
