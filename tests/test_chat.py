"""``gradus chat`` with a server: one answer for scripts, conversations, documents, and everything that can go wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai_server import FakeServer, serving

from gradus.cli.chat_session import Session
from gradus.errors import UserError
from gradus.language.partner import Served, without_oldest
from gradus.language.remote import Remote

Gradus = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def session(server: FakeServer) -> Session:
    return Session(Served(Remote(server.url)), {})


def said(session: Session, text: str) -> str:
    return "".join(session.ask(text))


def test_a_prompt_gives_the_answer_and_nothing_else(gradus: Gradus, server: FakeServer) -> None:
    assert gradus("chat", server.url, "Say", "it") == (0, "You said: Say it\n", "")
    assert server.asked[0]["messages"] == [{"role": "user", "content": "Say it"}]
    assert not {"temperature", "seed", "max_tokens"} & set(server.asked[0])  # the server's own


def test_what_is_set_is_sent(gradus: Gradus, server: FakeServer) -> None:
    flags = [
        "--temperature",
        "0.2",
        "--top-p",
        ".9",
        "--top-k",
        "7",
        "--min-p",
        "0.1",
        "--seed",
        "3",
        "--max-tokens",
        "9",
    ]
    gradus("chat", server.url, "x", "--system", "Be brief.", "--repetition-penalty", "1.1", *flags, "--api-key", "sk-1")
    body = server.asked[0]
    sent = {"temperature": 0.2, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 3, "max_tokens": 9}
    assert {name: body[name] for name in sent} == sent
    assert body["repetition_penalty"] == 1.1
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert all(headers["Authorization"] == "Bearer sk-1" for _, headers, _ in server.requests)


def test_standard_input_is_read_where_it_is_asked_for(
    gradus: Gradus, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, asked in [
        (["-"], "from outside"),
        (["Sum up:", "-"], "Sum up:\n\nfrom outside"),
        ([], "from outside"),
    ]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from outside\n")))
        assert gradus("chat", server.url, *arguments) == (0, f"You said: {asked}\n", "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" ")))
    assert "standard input is empty" in gradus("chat", server.url, "-")[2]


def test_no_control_character_of_an_answer_reaches_the_terminal(gradus: Gradus, server: FakeServer) -> None:
    server.say = lambda body: ["a\x1b]0;title\x07b\n\tc"]
    assert gradus("chat", server.url, "x")[1] == "a\ufffd]0;title\ufffdb\n\tc\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "nowhere: no such run or directory, and no address. Look with gradus runs"),
        (("runs/typo", "What is it?"), "runs/typo: no such run or directory"),
        (("http://127.0.0.1:9/v1", "x"), "nothing listens there. Start the server"),
        (("URL", "--model", "huge", "x"), "no model 'huge'. Known: tiny."),
        (("URL", "x", "--embed", "URL"), "Name their folder, too: --docs FOLDER."),
        (("URL", "x", "--quantise", "int8"), "--quantise and --device are for a RUN"),
        (("URL", "x", "--docs", "missing"), "missing: no such folder."),
        (("two words", "--model", "m"), "--model is the name of a server's model."),
        (("two words",), "no language model below runs yet. Make one: gradus train tokenizer && gradus train gpt"),
        (("URL", "--temperature", "warm", "x"), "'warm' is not a valid float"),
    ],
)
def test_a_bad_call_is_one_line(gradus: Gradus, server: FakeServer, arguments: tuple[str, ...], told: str) -> None:
    status, out, err = gradus("chat", *(server.url if word == "URL" else word for word in arguments))
    assert (status, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_an_answer_that_breaks_off_ends_with_status_2(gradus: Gradus, server: FakeServer) -> None:
    server.fault = "cut"
    status, out, err = gradus("chat", server.url, "x")
    assert (status, out) == (2, "You said: ")
    assert "was cut off" in err


def test_a_conversation_is_sent_as_it_went_on(server: FakeServer, session: Session) -> None:
    session.system = "Be kind."
    said(session, "one")
    said(session, "two")
    roles = [(message["role"], message["content"]) for message in server.asked[1]["messages"]]
    assert roles == [("system", "Be kind."), ("user", "one"), ("assistant", "You said: one"), ("user", "two")]


def test_retry_and_undo_take_the_last_question_back(server: FakeServer, session: Session) -> None:
    with pytest.raises(UserError, match="nothing was asked yet"):
        session.retry()
    said(session, "one")
    said(session, "two")
    assert "".join(session.retry()) == "You said: two"
    assert server.asked[2]["messages"] == server.asked[1]["messages"]
    assert session.undo() == "two"
    assert [message["content"] for message in session.messages] == ["one", "You said: one"]


def test_a_refusal_leaves_the_conversation_as_it_was(server: FakeServer, session: Session) -> None:
    said(session, "one")
    before = list(session.messages)
    server.fault = "500"
    with pytest.raises(UserError, match="500"):
        session.ask("two")
    with pytest.raises(UserError, match="500"):
        session.retry()
    assert session.messages == before


def test_an_answer_stopped_halfway_is_kept_as_far_as_it_came(server: FakeServer, session: Session) -> None:
    server.say, server.pause = lambda body: ["word "] * 1000, 0.002
    turn = session.ask("one")
    pieces = iter(turn)
    while next(pieces) != "word ":
        pass
    pieces.close()  # type: ignore[attr-defined]
    assert turn.finish == "cancelled"
    assert [message["content"] for message in session.messages] == ["one", "word "]
    assert server.gone.wait(10)


def test_the_oldest_turns_are_left_out_where_the_model_reads_no_more(server: FakeServer, session: Session) -> None:
    server.say = lambda body: ["yes"]
    session.system = "sys"
    server.longest = 20
    for question in ("a" * 6, "b" * 6, "c" * 6):
        turn = session.ask(question)
        assert "".join(turn) == "yes"
    assert turn.left_out == 2
    assert [message["content"] for message in server.asked[-1]["messages"]] == ["sys", "b" * 6, "yes", "c" * 6]
    assert len(session.messages) == 6  # none is forgotten
    with pytest.raises(UserError, match="longer than the model reads"):
        session.ask("d" * 40)


def test_what_is_left_out_ends_before_a_question() -> None:
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    messages = [{"role": role, "content": str(number)} for number, role in enumerate(roles)]
    kept = {count: "".join(m["content"] for m in without_oldest(messages, count)) for count in range(7)}
    assert kept == {0: "012345", 1: "0345", 2: "0345", 3: "05", 4: "05", 5: "05", 6: "05"}


def test_a_conversation_is_kept_and_gone_on_with(session: Session, server: FakeServer, tmp_path: Path) -> None:
    session.system = "系统"
    said(session, "one")
    session.save(tmp_path / "kept.jsonl")
    assert json.loads((tmp_path / "kept.jsonl").read_text())["messages"][0] == {"role": "system", "content": "系统"}
    with pytest.raises(UserError, match="isn't written over"):
        session.save(tmp_path / "kept.jsonl")
    other = Session(session.partner, {})
    other.load(tmp_path / "kept.jsonl")
    assert (other.system, other.messages) == (session.system, session.messages)
    for content, told in [("x", "isn't a conversation in JSON"), ("[1]", "message 1: not a message")]:
        (tmp_path / "bad").write_text(content)
        with pytest.raises(UserError, match=told):
            other.load(tmp_path / "bad")
    assert other.messages == session.messages


def test_options_are_set_and_left_to_the_model_again(session: Session, server: FakeServer) -> None:
    session.set("top-p", "0.5")
    said(session, "x")
    session.set("top_p", "default")
    said(session, "x")
    assert [body.get("top_p") for body in server.asked] == [0.5, None]
    with pytest.raises(UserError, match=r"not known\. Did you mean 'temperature'\?"):
        session.set("temprature", "1")
    with pytest.raises(UserError, match="give a number, or default"):
        session.set("seed", "x")
