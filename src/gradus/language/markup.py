"""The readers of text with headings: Markdown, web pages, reStructuredText; and plain text, by its empty lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser


@dataclass(frozen=True)
class Block:
    """A paragraph, a list, a table or a piece of code, as it stands in its document.

    Attributes:
        headings: those above it, the outermost first.
        page: its page, from 1; 0 where the format has none.
        line: its first line, from 1; 0 where lines mean nothing to a reader.
    """

    text: str
    headings: tuple[str, ...] = ()
    page: int = 0
    line: int = 0


class Headings:
    """The headings above the place where a reader is. One with nothing below it is a block of its own."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []
        self._bare: Block | None = None

    def enter(self, level: int, title: str, line: int = 0) -> Iterator[Block]:
        """Go below a heading; the block that the one before it makes, where nothing stood below that."""
        title = " ".join(title.split())
        if not self._above or level <= self._above[-1][0]:
            yield from self.close()
        self._above = [one for one in self._above if one[0] < level] + [(level, title)]
        self._bare = self._block(title, line) if title else None

    def block(self, text: str, line: int = 0) -> Block:
        """A block below the headings so far."""
        self._bare = None
        return self._block(text, line)

    def close(self) -> Iterator[Block]:
        """The last heading as a block, where nothing stands below it."""
        if self._bare is not None:
            yield self._bare
        self._bare = None

    def _block(self, text: str, line: int) -> Block:
        return Block(text, tuple(title for _, title in self._above if title), line=line)


def paragraphs(text: str) -> Iterator[Block]:
    """What stands between empty lines."""
    held: list[str] = []
    for number, line in enumerate([*text.replace("\f", "\n").split("\n"), ""], start=1):
        if line.strip():
            held.append(line.rstrip())
        elif held:
            yield Block("\n".join(held), line=number - len(held))
            held = []


def markdown(text: str) -> Iterator[Block]:
    """Markdown by CommonMark's rules: its top blocks as they were written; a heading within code is none."""
    from markdown_it import MarkdownIt

    lines, headings = text.split("\n"), Headings()
    first = _front_matter(lines)
    tokens = MarkdownIt("commonmark").enable("table").disable("inline").parse("\n".join(lines[first:]))
    for place, token in enumerate(tokens):
        if token.level or token.map is None or token.type == "hr":
            continue
        begin, end = (first + line for line in token.map)
        if token.type == "heading_open":
            yield from headings.enter(int(token.tag[1]), tokens[place + 1].content, begin + 1)
        else:
            yield headings.block("\n".join(lines[begin:end]).rstrip(), begin + 1)
    yield from headings.close()


def _front_matter(lines: list[str]) -> int:
    """How many lines of settings stand before the text, between two lines of three dashes, as some writers have it."""
    if lines[0].rstrip() != "---":
        return 0
    return next((number + 1 for number, line in enumerate(lines[1:200], start=1) if line.rstrip() == "---"), 0)


_UNDERLINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}")


def restructured(text: str) -> Iterator[Block]:
    """reStructuredText: signs below a line (and perhaps above it) make it a heading; the level goes by the signs."""
    headings, levels = Headings(), dict[str, int]()
    for block in paragraphs(text):
        rows = [*block.text.split("\n"), "", ""]
        over = bool(_UNDERLINE.fullmatch(rows[0])) and rows[2] == rows[0]
        title, below = rows[over], rows[over + 1]
        if not _UNDERLINE.fullmatch(below) or len(below) < len(title) or title.startswith((" ", "..")):
            yield headings.block(block.text, block.line)
            continue
        level = levels.setdefault(below[0] + "^" * over, len(levels) + 1)
        yield from headings.enter(level, title, block.line)
        if rest := "\n".join(rows[over + 2 :]).strip("\n"):
            yield headings.block(rest, block.line + over + 2)
    yield from headings.close()


_HIDDEN = ("script", "style", "template", "noscript", "svg", "math", "nav", "select", "button", "iframe")
_ROWS = ("br", "tr", "li", "dt", "dd")  # begin a line, and not a block
_WITHIN = """
a abbr b bdi bdo cite code del dfn em font i img ins kbd label mark q rp rt ruby s samp small span strong sub sup td
th time tt u var wbr
"""
_INLINE = frozenset(_WITHIN.split())


def html(text: str) -> Iterator[Block]:
    """A web page as it is seen: without scripts and menus; its title is the heading of what has none."""
    page = _Page()
    page.feed(text)
    page.close()
    page.end_block()
    title = " ".join(page.title.split())
    for block in [*page.blocks, *page.headings.close()]:
        yield block if block.headings or not title else Block(block.text, (title,))


class _Page(HTMLParser):
    """Python's own parser, which takes anything for a page; a tag that isn't closed ends with the block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.headings, self.title = Headings(), ""
        self.text: list[str] = []
        self.hidden, self.depth = "", 0  # the tag that hides what is read, and how often it stands in itself
        self.as_written = self.in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_title = tag == "title" and not self.title
        if self.hidden:
            self.depth += tag == self.hidden
        elif tag in _HIDDEN:
            self.hidden, self.depth = tag, 1
        elif tag in _ROWS:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append("  ")
        elif tag not in _INLINE:
            self.end_block()
            self.as_written = tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        self.in_title = False
        if self.hidden:
            self.depth -= tag == self.hidden
            self.hidden = self.hidden if self.depth else ""
        elif re.fullmatch("h[1-6]", tag):
            self.blocks += self.headings.enter(int(tag[1]), "".join(self.text))
            self.text = []
        elif tag not in (*_INLINE, *_ROWS):
            self.end_block()
            self.as_written = False

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title += data
        elif not self.hidden:
            self.text.append(data if self.as_written else re.sub(r"\s+", " ", data))

    def end_block(self) -> None:
        lines = "".join(self.text).split("\n")
        kept = [line.rstrip() if self.as_written else " ".join(line.split()) for line in lines if line.strip()]
        if kept:
            self.blocks.append(self.headings.block("\n".join(kept)))
        self.text = []
