"""What is read of a document of every format, where its pieces say they stand, and how they are cut into passages."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import handbook
import pytest

from gradus.errors import UserError
from gradus.language.parse import parse
from gradus.language.passages import MOST, cut, length
from gradus.language.words import asked, words_of


def blocks(name: str, content: str | bytes, encoding: str | None = None) -> list[tuple[str, str, int, int]]:
    found = parse(Path(name), content if isinstance(content, bytes) else content.encode(), encoding)
    return [(" › ".join(block.headings), block.text, block.page, block.line) for block in found]


def test_markdown_keeps_its_headings_and_lines() -> None:
    text = (
        "---\ntitle: x\n---\n# Guide\n\nHello.\n\nMore\n---\n\n```\n# no heading\n```\n\n- a\n- b\n\n# Bare\n## Last\n"
    )
    assert blocks("a.md", text) == [
        ("Guide", "Hello.", 0, 6),
        ("Guide › More", "```\n# no heading\n```", 0, 11),
        ("Guide › More", "- a\n- b", 0, 15),
        ("Bare › Last", "Last", 0, 19),  # a heading with nothing below it is text itself
    ]


def test_a_web_page_is_read_as_it_is_seen() -> None:
    page = """<!doctype html><title>The  page</title><meta charset=utf-8><style>p{}</style>
    <nav><ul><li>Menu</nav><script>var a = "<p>no</p>"</script>
    <p>Before &amp; after<br>a line<h2>A <em>long</em>
    title</h2><div>One<p>two <b>bold</b></div><table><tr><td>cell<td>next<tr><td>row</table><pre>  as
     written</pre><ul><li>x<li>y</ul><template><p>no</template><svg><text>no</text></svg>"""
    assert blocks("a.html", page) == [
        ("The page", "Before & after\na line", 0, 0),
        ("A long title", "One", 0, 0),
        ("A long title", "two bold", 0, 0),
        ("A long title", "cell next\nrow", 0, 0),
        ("A long title", "  as\n     written", 0, 0),
        ("A long title", "x\ny", 0, 0),
    ]


def test_a_web_page_tells_its_encoding() -> None:
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=gb2312"></head><p>水泵'
    assert blocks("a.htm", page.encode("gb18030"))[0][1] == "水泵"
    with pytest.raises(UserError, match="no text encoding 'klingon'"):
        blocks("a.htm", b"<meta charset=klingon><p>\xff")


def test_restructured_text_tells_its_headings_by_the_signs() -> None:
    text = "=====\nTitle\n=====\n\nIntro.\n\nPart\n----\nText at once.\n\n.. note::\n   x\n\nOther\n-----\n\nEnd.\n"
    assert blocks("a.rst", text) == [
        ("Title", "Intro.", 0, 5),
        ("Title › Part", "Text at once.", 0, 9),
        ("Title › Part", ".. note::\n   x", 0, 11),
        ("Title › Other", "End.", 0, 17),
    ]


def test_plain_text_and_code_have_lines() -> None:
    assert blocks("a.txt", "one\r\ntwo\r\n\r\n\r\nthree") == [("", "one\ntwo", 0, 1), ("", "three", 0, 5)]
    assert blocks("a.py", "def f():\n    return 1\n")[0] == ("", "def f():\n    return 1", 0, 1)
    assert blocks("README", "\ufeffhello")[0][1] == "hello"
    assert blocks("a.txt", "水泵".encode("utf-16"))[0][1] == "水泵"


def test_a_pdf_has_pages_in_any_language() -> None:
    pytest.importorskip("pypdfium2")
    content = handbook.pdf(["Pumps lift wa-\nter up.\n", "", "水泵每三个月检查一次。"])
    assert blocks("a.pdf", content) == [("", "Pumps lift water up.", 1, 0), ("", "水泵每三个月检查一次。", 3, 0)]


def test_a_word_document_and_a_notebook_have_headings() -> None:
    sections = [("Part", "First. Second."), ("Other", "Third.")]
    told = [("Name › Part", "First. Second.", 0, 0), ("Name › Other", "Third.", 0, 0)]
    assert blocks("a.docx", handbook._docx("Name", sections)) == told
    found = blocks("a.ipynb", handbook._ipynb("Name", sections))
    assert [(where, text) for where, text, _, _ in found] == [
        ("Name › Part", "First. Second."),
        ("Name › Part", "x = 1"),
        ("Name › Other", "Third."),
        ("Name › Other", "x = 1"),
    ]


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.ipynb", "a.html", "a.md", "a.rst", "a.txt"])
def test_damaged_files_give_blocks_or_one_line(name: str) -> None:
    """Cut short, and with bytes changed at random: never anything but a UserError of one line."""
    if name.endswith(".pdf"):
        pytest.importorskip("pypdfium2")
    made = handbook.FORMATS[Path(name).suffix]("Brevik Bridge", [("Part", "First sentence. Second one.")] * 3)
    content = made if isinstance(made, bytes) else made.encode()
    chance = random.Random(5)
    faults = []
    for _ in range(150):
        damaged = bytearray(content[: chance.randint(0, len(content))] if chance.random() < 0.5 else content)
        for _ in range(chance.randint(0, 12)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            list(cut(parse(Path(name), bytes(damaged))))
        except UserError as error:
            faults.append(str(error))
    assert len(faults) > 5
    assert [line for line in faults if name not in line or "\n" in line] == []


def test_passages_are_short_hold_all_sentences_and_overlap() -> None:
    sentences = [f"Sentence {number} tells of the {number}th thing in so many plain words." for number in range(200)]
    found = list(cut(parse(Path("a.txt"), " ".join(sentences).encode())))
    assert all(40 <= length(passage.text) <= MOST + 40 for passage in found)
    assert all(any(sentence in passage.text for passage in found) for sentence in sentences)
    shared = [a.text.split(". ")[-1].rstrip(".") in b.text for a, b in itertools.pairwise(found)]
    assert all(shared)


@pytest.mark.parametrize("text", ["水泵" * 3000, "x" * 9000, "word " * 3000, "一句话，" * 900, "a\n" * 5000])
def test_what_has_no_sentences_is_cut_all_the_same(text: str) -> None:
    found = list(cut(parse(Path("a.txt"), text.encode())))
    assert len(found) > 3
    assert all(len(passage.text) <= 2500 for passage in found)
    assert sum(len("".join(passage.text.split())) for passage in found) >= len("".join(text.split()))


def test_the_lines_of_a_passage_are_those_of_the_file() -> None:
    lines = [f"value {number} of the table stands here, with some words after it" for number in range(1, 400)]
    for passage in cut(parse(Path("a.txt"), "\n".join(lines).encode())):
        first, last = (int(word) for word in passage.place.removeprefix("lines ").split(" to "))
        assert passage.text == "\n".join(lines[first - 1 : last])


def test_words_of_both_languages() -> None:
    assert words_of("Pump_2 抽水泵，ＡＢＣ") == ["pump", "2", "抽", "水", "泵", "抽水", "水泵", "abc"]
    things = asked("What is the flow of Brevik Pump 3? 水泵的流量是多少？")
    assert [(thing.words, thing.is_name) for thing in things] == [
        (("flow",), False),
        (("brevik",), True),
        (("pump",), True),
        (("3",), True),
        (("水泵",), False),
        (("流量",), False),
    ]
    assert asked("What is it?") == []
