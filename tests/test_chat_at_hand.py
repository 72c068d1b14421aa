"""``gradus chat`` with a model in this process, and the conversation in a real terminal (a pseudo-terminal)."""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import re
import readline
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from openai_server import FakeServer, serving
from serving_script import tiny_model

from gradus.cli.chat_session import Session
from gradus.errors import UserError
from gradus.language import LanguageModel
from gradus.language.documents import Index
from gradus.language.grounding import grounded
from gradus.language.partner import AtHand

Gradus = Callable[..., tuple[int, str, str]]


@pytest.fixture
def partner() -> Iterator[AtHand]:
    """Answers by the script of tests/serving_script.py; reads 256 tokens."""
    made = AtHand(tiny_model("script"))
    yield made
    made.close()


def said(session: Session, text: str) -> str:
    return "".join(session.ask(text))


def test_a_model_at_hand_answers_and_counts(partner: AtHand) -> None:
    session = Session(partner, {})
    turn = session.ask("你好")
    assert "".join(turn) == "You said: 你好"
    assert turn.finish == "stop"
    assert turn.usage["completion_tokens"] > 3
    assert turn.usage["prompt_tokens"] == len(partner._ids([{"role": "user", "content": "你好"}]))


def test_the_oldest_turns_are_left_out_where_it_reads_no_more(partner: AtHand) -> None:
    session = Session(partner, {}, system="Be kind.")
    turns = []
    for number in range(6):
        turns.append(session.ask(f"question number {number}"))
        assert "".join(turns[-1]) == f"You said: question number {number}"
    left_out = [turn.left_out for turn in turns]
    assert left_out[0] == 0
    assert left_out[-1] > 0
    assert left_out == sorted(left_out)
    assert all(turn.usage["prompt_tokens"] <= 256 - 64 for turn in turns)


def test_a_message_that_is_too_long_alone_is_refused_with_counts(partner: AtHand) -> None:
    session = Session(partner, {})
    said(session, "hello")
    with pytest.raises(UserError, match=r"the message is too long: with it the model would read [\d,]+ tokens"):
        session.ask("word " * 400)
    assert len(session.messages) == 2


def test_a_bad_option_is_refused_and_the_conversation_stays(partner: AtHand) -> None:
    session = Session(partner, {"top_p": 3.0})
    with pytest.raises(UserError, match="top_p=3"):
        session.ask("hello")
    assert session.messages == []


def test_stopping_an_answer_frees_the_engine(partner: AtHand) -> None:
    session = Session(partner, {})
    turn = session.ask("long")
    pieces = iter(turn)
    while not next(pieces):
        pass
    pieces.close()  # type: ignore[attr-defined]
    assert turn.finish == "cancelled"
    assert "again".startswith(session.messages[-1]["content"][:2])
    assert said(session, "hello") == "Hello! How are you?"
    assert partner._engine.stats()["running"] == 0


def test_a_model_that_was_not_taught_goes_on_with_the_text() -> None:
    lm = tiny_model(chats=False)
    partner = AtHand(lm)
    session = Session(partner, {"temperature": 0.0, "max_tokens": 12})
    turn = session.ask("The quick")
    assert "".join(turn)
    assert turn.usage["prompt_tokens"] == len([*lm.tokens.begin_ids, *lm.tokens.encode_text("The quick")])
    assert (turn.finish, turn.usage["completion_tokens"]) in (("length", 12), ("stop", turn.usage["completion_tokens"]))
    assert Session(partner, {}).options == {"max_tokens": 200}
    partner.close()


def test_passages_fit_what_the_model_reads(partner: AtHand, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    idle = "Nothing of interest is told here about any of it. " * 8
    (folder / "a.txt").write_text(f"{idle}The valve of the cellar pump is made of brass. {idle}")
    index = Index.of(folder)
    index.update()
    session = Session(partner, {}, index=index)
    question = "What is the valve of the cellar pump made of?"
    put, _ = grounded(question, index.search(question), lambda text: partner.fits([{"role": "user", "content": text}]))
    assert "The valve of the cellar pump is made of brass." in put
    assert len(put) < 900
    turn = session.ask(question)
    assert "".join(turn).startswith("You said: Answer from the text only.")
    assert turn.usage["prompt_tokens"] <= 256 - 64
    assert turn.cited() == ["[1] a.txt › line 1 (1.00)"]


def test_the_newest_run_is_taken_and_told(gradus: Gradus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradus.language.newest", lambda: Path("runs/instruct-1"))
    taken: list[tuple[object, str, str]] = []

    def load(source: object, *, device: str, quantise: str) -> LanguageModel:
        taken.append((source, device, quantise))
        return tiny_model("script")

    monkeypatch.setattr(LanguageModel, "load", staticmethod(load))
    assert gradus("chat", "say it", "--quantise", "int8") == (0, "You said: say it\n", "")
    assert taken == [(Path("runs/instruct-1"), "auto", "int8")]


class Terminal:
    """A process in a pseudo-terminal, and what it has shown."""

    def __init__(self, arguments: list[str], cache: Path) -> None:
        self.ours, inside = pty.openpty()
        more = {"TERM": "xterm", "GRADUS_CACHE": str(cache), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gradus", "chat", *arguments],
            stdin=inside, stdout=inside, stderr=inside, env={**os.environ, **more}, start_new_session=True,
            preexec_fn=lambda: _make_controlling(inside),
        )  # fmt: skip
        os.close(inside)
        self.shown, self._decoder = "", codecs.getincrementaldecoder("utf-8")()

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """What is shown up to a text, which is taken away from what is waited for next."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            if not select.select([self.ours], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} wasn't shown, but {self.shown!r}")
            try:
                came = os.read(self.ours, 4096)
            except OSError:
                came = b""
            assert came, f"{text!r} wasn't shown before the end, but {self.shown!r}"
            self.shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown + self._decoder.decode(came))
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def interrupt_for(self, text: str) -> None:
        """Ctrl-C until a text is shown: Python hears one between prompt and wait for a key only with the next key."""
        for _ in range(12):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                self.wait_for(text, seconds=5)
                return
        self.wait_for(text, seconds=0)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        os.close(self.ours)
        self.process.wait()


def _make_controlling(descriptor: int) -> None:
    """Have Ctrl-C of this terminal reach the process."""
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_talk_in_a_terminal(server: FakeServer, tmp_path: Path) -> None:
    """One session with all of it, for a process takes seconds to begin."""
    with closing(Terminal([server.url], tmp_path / "cache")) as chat:
        _talk(chat, server)
    typed = tmp_path / "cache" / "chat_history"
    assert typed.stat().st_mode & 0o777 == 0o600
    assert "héllo 呀" in typed.read_text(encoding="utf-8")


def _talk(chat: Terminal, server: FakeServer) -> None:
    chat.wait_for("> ")
    chat.type("héllo 你好\r")
    chat.wait_for("You said: héllo 你好")
    chat.wait_for("> ")

    server.say, server.pause = lambda body: ["word "] * 500, 0.01
    chat.type("long\r")
    chat.wait_for("word word ")
    chat.type("\x03")
    chat.wait_for("stopped")
    chat.wait_for("> ")
    server.say, server.pause = lambda body: ["You said: ", body["messages"][-1]["content"]], 0.0
    chat.type("and now\r")
    chat.wait_for("You said: and now")
    stopped = server.asked[-1]["messages"][-2]["content"]
    assert 2 <= stopped.count("word ") < 500

    chat.wait_for("> ")
    chat.type("\x1b[A\x1b[A\x1b[A\x7f\x7f呀\r")  # arrow up three times, two characters taken away, one more
    chat.wait_for("You said: héllo 呀")
    chat.wait_for("> ")
    chat.type('"""one\r')
    chat.wait_for("… ")
    chat.type('two"""\r')
    chat.wait_for("> ")
    assert server.asked[-1]["messages"][-1]["content"] == "one\ntwo"
    chat.type("three\\\r")
    chat.wait_for("… ")
    chat.type("four\r")
    chat.wait_for("> ")
    assert server.asked[-1]["messages"][-1]["content"] == "three\nfour"

    chat.interrupt_for("Ctrl-D or /quit leaves.")
    chat.type("/set temperature 0.5\r")
    chat.wait_for("temperature 0.5,")
    chat.type("/unod\r")
    chat.wait_for("Did you mean '/undo'?")
    chat.type("/undo\r")
    chat.wait_for("taken back: three")
    server.fault = "500"
    chat.type("x\r")
    chat.wait_for("500 Internal Server Error. It says: words for 500")
    server.fault = ""
    chat.wait_for("> ")
    chat.type("/retry\r")
    chat.wait_for("You said: one")
    assert server.asked[-1]["temperature"] == 0.5
    chat.type("/new\r")
    chat.wait_for("a new conversation")
    chat.type("fresh\r")
    chat.wait_for("You said: fresh")
    assert len(server.asked[-1]["messages"]) == 1
    chat.wait_for("> ")
    chat.type("\x04")
    assert chat.process.wait(10) == 0


def test_documents_in_a_terminal_and_what_was_typed_in_the_chat_before(server: FakeServer, tmp_path: Path) -> None:
    folder, cache = tmp_path / "docs", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    (folder / "pumps.md").write_text("# Pumps\n\n## Oil\n\nThe cellar pump takes K40 oil.\n")
    (folder / "broken.docx").write_bytes(b"PK nothing")
    (folder / "photo.png").touch()
    readline.clear_history()
    readline.add_history("Which oil does the cellar pump take?")
    readline.write_history_file(cache / "chat_history")
    server.say = lambda body: ["K40."]
    with closing(Terminal([server.url, "--docs", str(folder)], cache)) as chat:
        chat.wait_for("1 document, 1 passage (1 new, 1 left out)")
        chat.wait_for("broken.docx: damaged, locked, or no Word document.")
        chat.wait_for("1 .png.")
        chat.wait_for("> ")
        chat.type("\x1b[A\r")
        chat.wait_for("K40.")
        chat.wait_for("[1] pumps.md › Pumps › Oil (1.00)")
        chat.type("/docs cellar pump oil\r")
        chat.wait_for("[1] pumps.md › Pumps › Oil (1.00)")
        chat.wait_for("The cellar pump takes K40 oil.")
        chat.type("Who wrote Hamlet?\r")
        chat.wait_for("Nothing in the documents fits this question.")
        assert len(server.asked) == 1
