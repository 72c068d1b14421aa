"""A made-up folder of documents with questions to it: what each answer's sentence is, and in which file, is known.

The facts stand in articles of every format, in English and Chinese; the question puts them in other words. Around them
stand articles about things of nearly the same name, sentences that speak of the same matter without telling it, and
files of other people's prose. Everything follows from the seed.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Question:
    """``sentence`` in ``file`` answers it; both are "" where nothing does."""

    text: str
    file: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Fact:
    """How articles tell it, how people ask for it, what it may be; ``{v}`` is that, ``{n}`` the name of the thing."""

    told: list[str]
    asked: list[str]
    value: str

    def drawn(self, chance: random.Random) -> str:
        kind, _, rest = self.value.partition(" ")
        if kind == "year":
            return str(chance.randint(1780, 2015))
        if kind == "number":
            low, high = rest.split()
            return f"{chance.randint(int(low), int(high)):,}"
        if kind == "person":
            return f"{chance.choice(FIRST)} {chance.choice(LAST)}"
        if kind == "grade":
            return f"{chance.choice('KLMNPQR')}{chance.randint(20, 99)}-{chance.choice('ABC')}"
        if kind == "date":
            return f"{chance.randint(2, 27)}th of {chance.choice(('March', 'April', 'June', 'August', 'October'))}"
        return chance.choice(rest.removeprefix("of ").split(" | "))


FIRST = ("Ada", "Bruno", "Clara", "Edgar", "Frieda", "Hugo", "Ines", "Karel", "Lotte", "Milo")
LAST = ("Amsel", "Brandt", "Corvo", "Dietz", "Ekman", "Falk", "Grau", "Holm", "Ibsen", "Jansky", "Kessel", "Lindt")
STARTS = (
    "Brev",
    "Torl",
    "Ansk",
    "Quel",
    "Marn",
    "Ostr",
    "Vint",
    "Halv",
    "Ferr",
    "Lund",
    "Drav",
    "Skel",
    "Wend",
    "Yarr",
)
ENDS = ("ik", "ova", "und", "eth", "or", "asch", "ine")
PARTS = {
    part.split("\n")[0]: part.split("\n", 1)[1].strip()
    for part in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split("# ")[1:]
}


def _facts(kind: str) -> list[Fact]:
    lines = (fact.split("\n") for fact in PARTS[kind].split("\n\n"))
    return [Fact(told.split(" | "), asked.split(" | "), value) for told, asked, value in lines]


ENGLISH = {kind: _facts(kind) for kind in ("Bridge", "Museum", "Pump", "Festival")}
CHINESE = {kind: _facts(kind) for kind in ("大桥", "博物馆", "水泵")}


def write_handbook(root: Path, seed: int = 0, count: int = 200) -> list[Question]:
    """Fill a folder and give ``count`` questions that it answers, four in ten of them Chinese."""
    chance = random.Random(seed)
    things = [(kind, name) for kind, names in _things(chance).items() for name in names]
    chance.shuffle(things)
    questions: list[Question] = []
    for number, (kind, name) in enumerate(things):
        sentences, asked = [], []
        for fact in ENGLISH.get(kind) or CHINESE[kind]:
            sentences.append(chance.choice(fact.told).replace("{v}", fact.drawn(chance)))
            asked.append(_about(name, chance.choice(fact.asked)))
        suffix = list(FORMATS)[number % len(FORMATS)]
        file = f"{chance.choice(['', 'archive/', 'notes/2019/'])}{number:03}{suffix}"
        made = FORMATS[suffix](name, _sections(chance, sentences, name))
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(made if isinstance(made, bytes) else made.encode())
        questions += [Question(text, file, sentence) for text, sentence in zip(asked, sentences, strict=True)]
    chance.shuffle(questions)
    english = [question for question in questions if question.text.isascii()][: count * 6 // 10]
    return english + [question for question in questions if not question.text.isascii()][: count - len(english)]


def unanswerable(seed: int = 0) -> dict[str, list[str]]:
    """Questions that nothing in the handbook of that seed answers: of other matters, of things that it hasn't in the
    words that it uses for those it has, and of its own things what it doesn't tell."""
    known = _things(random.Random(seed))
    chance = random.Random(seed + 1000)
    strange, untold = [], []
    for kind, facts in (ENGLISH | CHINESE).items():
        chinese = kind in CHINESE
        parts = {name[:2] if chinese else name.split()[-2] for name in known[kind]}
        made = (_names_zh if chinese else _names)(chance, kind, 40)
        others = [name for name in made if (name[:2] if chinese else name.split()[-2]) not in parts]
        strange += [_about(name, chance.choice(chance.choice(facts).asked)) for name in others[:6]]
        asked = PARTS["not told zh" if chinese else "not told"].split("\n")
        untold += [_about(name, chance.choice(asked)) for name in chance.sample(known[kind], 4)]
    return {"other matters": PARTS["other matters"].split("\n"), "strange things": strange, "not told": untold}


def _about(name: str, asked: str) -> str:
    return asked.replace("{n}", f"the {name}" if name.isascii() else name)


def _things(chance: random.Random) -> dict[str, list[str]]:
    return {kind: _names(chance, kind, 20) for kind in ENGLISH} | {
        kind: _names_zh(chance, kind, 16) for kind in CHINESE
    }


def _names(chance: random.Random, kind: str, count: int) -> list[str]:
    """Names, a third of which differ in one word only: New Brevik Bridge, Old Brevik Bridge."""
    names: list[str] = []
    while len(names) < count:
        name = f"{chance.choice(STARTS)}{chance.choice(ENDS)} {kind}"
        some = [f"Old {name}", f"New {name}"] if chance.random() < 0.3 else [name]
        names += [one for one in some if one not in names]
    return names[:count]


def _names_zh(chance: random.Random, kind: str, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names[chance.choice("云青白金石龙凤松梅清玉紫") + chance.choice("岭川河溪湾峰湖桥坪洲") + kind] = None
    return list(names)


def _sections(chance: random.Random, sentences: list[str], name: str) -> list[tuple[str, str]]:
    """The article: sections with a heading and prose in which the facts stand between words that tell nothing."""
    chinese = not name.isascii()
    aside = PARTS["aside zh" if chinese else "aside"].replace("{n}", name).split("\n")
    titles = ["概况", "细节", "其他"] if chinese else ["Overview", "Details", "Further notes"]
    shuffled = chance.sample(sentences, len(sentences))
    sections = []
    for title, part in zip(titles, (shuffled[:2], shuffled[2:4], shuffled[4:]), strict=True):
        prose: list[str] = []
        for sentence in part:
            before, between, after = chance.sample(aside, 3)
            prose += [before, between, sentence, after]
        sections.append((title, ("" if chinese else " ").join(prose)))
    return sections


def _md(name: str, sections: list[tuple[str, str]]) -> str:
    return f"# {name}\n\n" + "\n\n".join(f"## {title}\n\n{prose}" for title, prose in sections)


def _html(name: str, sections: list[tuple[str, str]]) -> str:
    body = "".join(f"<h2>{escape(title)}</h2><p>{escape(prose)}" for title, prose in sections)
    return (
        f"<!doctype html><html><head><meta charset=utf-8><title>{escape(name)}</title>"
        "<script>var x = '<p>no</p>'</script>"
        f"<style>p{{}}</style><body><nav><a href=/>Home</a></nav><h1>{escape(name)}</h1>{body}</body></html>"
    )


def _rst(name: str, sections: list[tuple[str, str]]) -> str:
    def line(title: str, sign: str) -> str:
        return f"{title}\n{sign * (2 * len(title))}\n\n"

    return line(name, "=") + "\n\n".join(line(title, "-") + prose for title, prose in sections)


def _txt(name: str, sections: list[tuple[str, str]]) -> str:
    return f"{name}\r\n\r\n" + "\r\n\r\n".join(f"{title}: {prose}" for title, prose in sections)


def _ipynb(name: str, sections: list[tuple[str, str]]) -> str:
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "source": [f"# {name}\n"]}]
    for title, prose in sections:
        cells += [
            {"cell_type": "markdown", "source": f"## {title}\n\n{prose}"},
            {"cell_type": "code", "source": "x = 1"},
        ]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def _docx(name: str, sections: list[tuple[str, str]]) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

    def paragraph(text: str, style: str = "") -> str:
        kind = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        half = len(text) // 2
        runs = "".join(
            f'<w:r><w:t xml:space="preserve">{escape(part)}</w:t></w:r>' for part in (text[:half], text[half:])
        )
        return f"<w:p>{kind}{runs}</w:p>"

    body = paragraph(name, "Heading1") + "".join(paragraph(t, "Heading2") + paragraph(p) for t, p in sections)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(
            "word/document.xml", f'<?xml version="1.0"?><w:document {space}><w:body>{body}</w:body></w:document>'
        )
    return out.getvalue()


def pdf(pages: list[str]) -> bytes:
    """A PDF file of pages of text in any language. The font isn't in it, only what its numbers stand for."""
    letters = sorted({letter for page in pages for letter in page})
    codes = {letter: number for number, letter in enumerate(letters, start=1)}
    chars = "\n".join(f"<{code:04x}> <{letter.encode('utf-16-be').hex()}>" for letter, code in codes.items())
    chunks = chars.split("\n")
    tables = "\n".join(
        f"{len(chunks[i : i + 100])} beginbfchar\n" + "\n".join(chunks[i : i + 100]) + "\nendbfchar"
        for i in range(0, len(chunks), 100)
    )
    cmap = (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /X def\n/CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n{tables}\nendcmap\nend\nend"
    )
    kids = " ".join(f"{6 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [4 0 R] "
        "/ToUnicode 5 0 R >>",
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 600 /CIDSystemInfo "
        "<< /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        _stream(cmap),
    ]
    for number, page in enumerate(pages):
        shown = "".join(
            f"1 0 0 1 40 {780 - 14 * row} Tm <{''.join(f'{codes[letter]:04x}' for letter in line)}> Tj\n"
            for row, line in enumerate(page.split("\n"))
        )
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 2000 800] /Resources << /Font << /F 3 0 R >> >> "
            f"/Contents {7 + 2 * number} 0 R >>"
        )
        objects.append(_stream(f"BT /F 10 Tf\n{shown}ET"))
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def _stream(content: str) -> str:
    return f"<< /Length {len(content.encode())} >>\nstream\n{content}\nendstream"


def _pdf(name: str, sections: list[tuple[str, str]]) -> bytes:
    pages = []
    for title, prose in sections:
        words, lines = prose.split(" ") if " " in prose else list(prose), [""]
        for word in words:
            if len(lines[-1]) > 80:
                lines.append("")
            lines[-1] += word + (" " if " " in prose else "")
        pages.append("\n".join([f"{name} - {title}", *(line.rstrip() for line in lines)]))
    return pdf(pages)


FORMATS: dict[str, Callable[[str, list[tuple[str, str]]], str | bytes]] = {
    ".md": _md,
    ".html": _html,
    ".txt": _txt,
    ".pdf": _pdf,
    ".rst": _rst,
    ".docx": _docx,
    ".ipynb": _ipynb,
}
