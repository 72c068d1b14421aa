"""``gradus chat --docs``: passages before the question, their sources after the answer, nothing found said so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai_server import Body, FakeServer, serving

from gradus.cli.chat_session import Session
from gradus.language.documents import Index
from gradus.language.partner import Served
from gradus.language.remote import Remote

Gradus = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pumps.md").write_text("# Pumps\n\n## Oil\n\nThe cellar pump takes K40 oil. Check it in spring.\n")
    (folder / "水泵.txt").write_text("地下室的水泵每三个月检查一次。", encoding="utf-8")
    return folder


def said(session: Session, text: str) -> str:
    return "".join(session.ask(text))


def test_json_tells_text_usage_and_sources(gradus: Gradus, server: FakeServer, docs: Path) -> None:
    server.say = lambda body: ["K40"]
    status, out, _ = gradus("chat", server.url, "--docs", docs, "--json", "Which oil does the cellar pump take?")
    told = json.loads(out)
    assert status == 0
    assert (told["text"], told["finish"], told["usage"]["total_tokens"]) == ("K40", "stop", 7)
    assert told["model"] == f"tiny at {server.url}"
    [source] = told["sources"]
    assert (source["file"], source["place"], source["score"]) == ("pumps.md", "Pumps › Oil", 1)


def test_a_document_that_cannot_be_read_is_told_beside_the_answer(
    gradus: Gradus, server: FakeServer, docs: Path
) -> None:
    (docs / "broken.docx").write_bytes(b"PK nothing")
    status, out, err = gradus("chat", server.url, "--docs", docs, "Which oil does the cellar pump take?")
    assert status == 0
    assert out.endswith("[1] pumps.md › Pumps › Oil (1.00)\n")
    assert err.startswith("gradus: left out: broken.docx: damaged")


def test_the_key_of_one_server_is_not_sent_to_another(gradus: Gradus, server: FakeServer, docs: Path) -> None:
    with serving() as other:
        gradus("chat", server.url, "--docs", docs, "--embed", other.url, "--api-key", "sk-1", "Which oil does it take?")
        assert other.requests
        assert not any("Authorization" in headers for _, headers, _ in other.requests)
    gradus("chat", server.url, "--docs", docs, "--embed", server.url, "--api-key", "sk-1", "Which oil does it take?")
    assert all(headers["Authorization"] == "Bearer sk-1" for _, headers, _ in server.requests)


def test_a_folder_without_any_text_is_told(gradus: Gradus, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    status, _, err = gradus("chat", server.url, "--docs", tmp_path, "x")
    assert status == 2
    assert "no document in it has any text" in err


def test_passages_go_before_the_question_and_are_cited(gradus: Gradus, server: FakeServer, docs: Path) -> None:
    server.say = lambda body: ["K40"]
    status, out, err = gradus("chat", server.url, "--docs", docs, "Which oil does the cellar pump take?")
    assert (status, err) == (0, "")
    assert out == "K40\n[1] pumps.md › Pumps › Oil (1.00)\n"
    asked = server.asked[0]["messages"][0]["content"]
    assert asked == (
        "Answer from the text only.\nThe cellar pump takes K40 oil. Check it in spring.\n"
        "Which oil does the cellar pump take?"
    )
    gradus("chat", server.url, "--docs", docs, "地下室的水泵多久检查一次？")
    asked = server.asked[1]["messages"][0]["content"]
    assert asked == "只根据文章回答。\n地下室的水泵每三个月检查一次。\n地下室的水泵多久检查一次？"


def test_what_is_not_found_is_said_and_the_model_is_not_asked(gradus: Gradus, server: FakeServer, docs: Path) -> None:
    status, out, err = gradus("chat", server.url, "--docs", docs, "Who painted the Sistine Chapel?")
    assert (status, out, err) == (0, "Nothing in the documents fits this question.\n", "")
    assert server.asked == []
    assert gradus("chat", server.url, "--docs", docs, "《红楼梦》的作者是谁？")[1] == "文档中没有与此问题相符的内容。\n"
    assert server.asked == []
    _, out, _ = gradus("chat", server.url, "--docs", docs, "--json", "Who painted the Sistine Chapel?")
    assert (json.loads(out)["finish"], json.loads(out)["sources"]) == ("nothing found", [])


def test_the_conversation_keeps_questions_and_not_passages(server: FakeServer, docs: Path) -> None:
    index = Index.of(docs)
    index.update()
    session = Session(Served(Remote(server.url)), {}, index=index)
    question = "Which oil does the cellar pump take?"
    said(session, question)
    assert session.messages[0] == {"role": "user", "content": question}


def test_passages_are_made_to_fit(server: FakeServer, tmp_path: Path) -> None:
    """Where not even the best passage fits, its sentences that are nearest to the question do."""
    from gradus.language.documents import Passage
    from gradus.language.grounding import grounded

    idle = [f"Idle sentence number {number} tells nothing." for number in range(20)]
    best = Passage("a.txt", "", " ".join([*idle[:9], "The valve is made of brass.", *idle[9:]]), 1.0)
    second = Passage("b.txt", "", "Second.", 0.6)
    question = "What is the valve made of?"
    assert grounded(question, [best, second])[1] == [best, second]
    text, used = grounded(question, [best, second], lambda text: len(text) < len(best.text) + 60)
    assert (used, best.text in text) == ([best], True)
    text, used = grounded(question, [best, second], lambda text: len(text) < 130)
    assert used == [best]
    assert "The valve is made of brass." in text
    assert len(text) < 130


def test_the_form_is_one_that_the_lessons_teach() -> None:
    lessons = pytest.importorskip("gradus.data.lesson_passages")
    from gradus.language.grounding import FORM

    assert all(FORM[language] in lessons.ASKED[language] for language in ("en", "zh"))


def test_documents_are_found_by_meaning_with_the_servers_embeddings(
    gradus: Gradus, server: FakeServer, docs: Path
) -> None:
    def say(body: Body) -> list[str]:
        return ["yes"]

    server.say, server.embed = say, lambda text: [float("pump" in text), 1.0]
    arguments = ("chat", server.url, "--docs", docs, "--embed", server.url, "Which oil does the cellar pump take?")
    assert gradus(*arguments)[1].startswith("yes\n[1] pumps.md")
    embedded = [text for path, _, body in server.requests if path.endswith("/embeddings") for text in body["input"]]
    assert "Which oil does the cellar pump take?" in embedded
    assert len(embedded) == 3
