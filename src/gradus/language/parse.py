"""From a document's bytes to blocks of text that know where they stand: under which headings, on which page or line.

What can't be read is one line, never a traceback: a folder of documents always holds some of that.
"""

from __future__ import annotations

import io
import json
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from gradus.data.decode_text import decoded
from gradus.errors import UserError
from gradus.language.markup import Block, Headings, html, markdown, paragraphs, restructured

LARGEST = 64_000_000  # bytes of a file, and of what a packed file holds
MARKUP = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), html),
    ".rst": restructured,
}
_CODE = """
.py .pyi .js .ts .jsx .tsx .c .h .cc .cpp .hpp .cs .java .kt .go .rs .rb .php .pl .lua .r .jl .swift .scala .sh
.bash .ps1 .bat .sql .css .toml .yaml .yml .ini .cfg .conf
"""
KINDS = (*MARKUP, ".txt", ".text", ".org", ".adoc", ".tex", "", *_CODE.split(), ".pdf", ".docx", ".ipynb")
"""The ends of the names of files that are read, in lower case; a name without an end is taken for text."""

_PDFIUM = threading.Lock()  # the library works for one thread at a time


def parse(path: Path, content: bytes, encoding: str | None = None) -> list[Block]:
    """The blocks of a document, in their order; its kind is told by its name, and an unknown kind is read as text.

    Args:
        path: what the document is called in an error; it isn't opened.
        encoding: of texts that aren't UTF-8 and don't tell theirs.

    Raises:
        UserError: where it can't be read: damaged, locked, binary, of another encoding, or pages without text.
    """
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        with _PDFIUM:
            return list(_pdf(path, content))
    if suffix == ".docx":
        return list(_docx(path, content))
    reader = MARKUP.get(suffix, paragraphs)
    text = _text(path, content, _declared(content) or encoding if reader is html else encoding)
    return list(_notebook(path, text) if suffix == ".ipynb" else reader(text.replace("\r\n", "\n")))


def _text(path: Path, content: bytes, encoding: str | None) -> str:
    """UTF-8 where it is that, or what a byte-order mark tells; else the encoding that is told or given."""
    try:
        return decoded(path, content)
    except UserError:
        if encoding is None or encoding.replace("-", "") == "utf8" or b"\x00" in content:
            raise
    return decoded(path, content, encoding)


def _declared(content: bytes) -> str | None:
    """The encoding that a web page tells of itself."""
    found = re.search(rb"charset\s*=\s*[\"']?([\w-]+)", content[:4096], re.IGNORECASE)
    name = found[1].decode("ascii").lower() if found else ""
    return {"gb2312": "gb18030", "gbk": "gb18030"}.get(name, name) or None  # the older ones are parts of the newest


def _pdf(path: Path, content: bytes) -> Iterator[Block]:
    try:
        import pypdfium2
    except ImportError:
        raise UserError(f"{path}: PDF files are read by pypdfium2. Install it: pip install 'gradus[docs]'.") from None
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        why = "it is locked with a password" if locked else "it is damaged, or no PDF"
        raise UserError(f"{path}: {why}. Open it in a reader and save it anew.") from None
    with document:
        empty = True
        for number in range(len(document)):
            try:
                page = document[number]
                text = page.get_textpage().get_text_range()
                page.close()
            except pypdfium2.PdfiumError:
                raise UserError(f"{path}, page {number + 1}: the page is damaged. Save the file anew.") from None
            if text := _joined(text):
                empty = False
                yield Block(text, page=number + 1)
        if empty:
            raise UserError(f"{path}: its {len(document)} pages hold no text, only pictures of it. Give one with text.")


def _joined(text: str) -> str:
    """A page's text with the words together that were parted at lines' ends; blanks at the ends of lines go."""
    text = re.sub(r"(\w)(?:[\u00ad\ufffe\x02]\s*|-\r?\n(?=[a-z]))", r"\1", text.replace("\x00", ""))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


_DAMAGED = (  # what Python's reader of archives, and that of XML, raise for one
    zipfile.BadZipFile, zlib.error, struct.error, ElementTree.ParseError, KeyError, ValueError, NotImplementedError,
    RuntimeError, EOFError, OSError,
)  # fmt: skip
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def _docx(path: Path, content: bytes) -> Iterator[Block]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = archive.getinfo("word/document.xml").file_size
            content = archive.read("word/document.xml") if size <= LARGEST else b"<w/>"
            root = ElementTree.fromstring(content)
    except _DAMAGED:
        raise UserError(f"{path}: damaged, locked, or no Word document. Open it and save it anew.") from None
    if size > LARGEST:
        raise UserError(f"{path}: its text would be more than {LARGEST // 10**6} MB; not unpacked.")
    headings = Headings()
    for paragraph in root.iter(f"{_WORD}p"):
        parts = (part.text if part.tag == f"{_WORD}t" else " " for part in paragraph.iter() if part.tag in _RUNS)
        text = "".join(part or "" for part in parts).strip()
        style = paragraph.find(f"{_WORD}pPr/{_WORD}pStyle")
        name = style.get(f"{_WORD}val", "") if style is not None else ""
        if not text:
            continue
        if found := re.fullmatch(r"(?i)heading\s?([1-9])|title", name):
            yield from headings.enter(int(found[1] or 1), text)
        else:
            yield headings.block(text)
    yield from headings.close()


_RUNS = (f"{_WORD}t", f"{_WORD}tab", f"{_WORD}br")


def _notebook(path: Path, text: str) -> Iterator[Block]:
    """A Jupyter notebook as one text in Markdown with pieces of code; what came out of them is left out."""
    try:
        cells = json.loads(text)["cells"]
        sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells if "".join(cell["source"]).strip()]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: not a notebook (no JSON with cells).") from None
    fence = "`" * 8
    text = "\n\n".join(source if kind == "markdown" else f"{fence}\n{source}\n{fence}" for kind, source in sources)
    for block in markdown(text):
        yield Block(block.text.strip("`").strip("\n"), block.headings)
