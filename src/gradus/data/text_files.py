"""Big texts as files cut into pieces, each of which can be read, normalised and tokenised for itself.

A piece is cut at a line's end; within a line too long for that, before a blank; in a text without blanks, before a
character that doesn't unite with the one before it. So the pieces' Unicode forms are together that of the whole text.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import hashlib
import itertools
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gradus.data.picture_files import natural
from gradus.errors import UserError

PIECE = 4_000_000  # bytes; a piece has up to twice as many
NEAR = 65_536  # bytes from where a long line should be cut to where it is
SAMPLES, SAMPLE = 64, 4_096  # places of a text that its key tells of, and the bytes of each

_LINE = re.compile(rb"\n")
_SOLID = rb"(?=[!-~\xc3-\xdf\xe4-\xf4])"  # the first byte of a character that is no blank in any language
_BREAK = re.compile(rb"(?<!\r)\r?\n" + _SOLID)
_BLANK = re.compile(rb"[ \t]" + _SOLID)
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "zip archive"}


@dataclass(frozen=True)
class TextFile:
    """A file of text: the path that a person knows it by, its bytes, when it was written, and where it is read."""

    path: Path
    size: int
    stamp: int
    unpacked: Path | None = None

    @property
    def place(self) -> Path:
        return self.unpacked or self.path

    @property
    def packed(self) -> bool:
        return self.path.name.lower().endswith(".gz")


@dataclass(frozen=True)
class Span:
    """Bytes ``begin`` to ``end`` of a file, by its number; ``last`` where the file ends with them."""

    file: int
    begin: int
    end: int
    last: bool


@dataclass(frozen=True)
class Piece:
    """What is tokenised at a time: a part of a file, or several small files, all of one split (0, 1 or 2)."""

    split: int
    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        return sum(span.end - span.begin for span in self.spans)


def find_texts(source: str | Path) -> list[TextFile]:
    """The file at a path, or the .txt files of a folder and the folders in it, by name; also gzipped.

    Raises:
        UserError: where there is none, or it is no text.
    """
    root = Path(source)
    if not root.exists():
        raise UserError(f"{root}: no such file or folder. Give a text file, or a folder of .txt files.")
    paths = [root]
    if root.is_dir():
        found = (p for p in root.rglob("*") if p.name.lower().endswith((".txt", ".txt.gz")) and p.is_file())
        paths = sorted(
            (p for p in found if not p.name.startswith(".")), key=lambda p: natural(str(p.relative_to(root)))
        )
        if not paths:
            raise UserError(f"{root}: no .txt files in this folder or those in it.")
    files = []
    for path in paths:
        status = path.stat()
        if status.st_size:
            files.append(TextFile(path, status.st_size, status.st_mtime_ns))
    if not files:
        raise UserError(f"{root}: {'the file is' if len(paths) == 1 else 'all files are'} empty. Give some text.")
    return files


def key_of(files: Sequence[TextFile]) -> str:
    """A hash of the files' names, sizes, stamps and bytes at some places: another one where a file was changed.

    Raises:
        UserError: for a file that can't be read.
    """
    digest = hashlib.sha256(repr([(f.path.name, f.size, f.stamp) for f in files]).encode())
    total = sum(file.size for file in files)
    places = [total * number // SAMPLES for number in range(SAMPLES)]
    before = 0
    for file in files:
        here = [place - before for place in places if before <= place < before + file.size]
        if here:
            with opened(file) as content:
                for place in here:
                    content.seek(place)
                    digest.update(content.read(SAMPLE))
        before += file.size
    return digest.hexdigest()


def unpack(file: TextFile, to: Path, has: Callable[[int], None]) -> TextFile:
    """A gzipped file as a plain one, unpacked whole or not at all.

    Args:
        has: called with the bytes of the gzipped file that were read since the last call.

    Raises:
        UserError: for a damaged file.
        OSError: where the disk is full.
    """
    if not to.exists():
        partial = to.with_name(f"{to.name}.partial")
        with opened(file) as raw, partial.open("wb") as out:
            unzipped, done = gzip.GzipFile(fileobj=raw), 0
            try:
                while content := unzipped.read(1 << 20):
                    out.write(content)
                    has(raw.tell() - done)
                    done = raw.tell()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UserError(
                    f"{file.path}: the gzip file is cut short or damaged ({error}). Fetch or copy it again."
                ) from None
        os.replace(partial, to)
    return replace(file, size=to.stat().st_size, unpacked=to)


def pieces_of(files: Sequence[TextFile], *, lines: bool, valid: float = 0.0, test: float = 0.0) -> list[Piece]:
    """The whole text in pieces, a pure function of its bytes.

    Args:
        lines: whether each line is a row. Else the text runs on, and isn't cut between blank lines.
        valid, test: the shares at its end that are the other splits; a split ends where a piece ends.
    """
    total = sum(file.size for file in files)
    edges = [int(total * (1 - valid - test)), int(total * (1 - test))]
    out: list[Piece] = []
    before = 0
    for number, file in enumerate(files):
        wanted = {*range(PIECE, file.size, PIECE), *(edge - before for edge in edges if 0 < edge - before < file.size)}
        cuts = {0, file.size}
        if wanted:
            with opened(file) as content:
                cuts |= {_cut(content, place, file.size, _LINE if lines else _BREAK) for place in wanted}
        places = sorted(cuts)
        for begin, end in itertools.pairwise(places):
            split = sum(before + begin >= edge for edge in edges)
            span = Span(number, begin, end, end == file.size)
            if out and out[-1].split == split and out[-1].size + end - begin <= PIECE:
                out[-1] = Piece(split, (*out[-1].spans, span))
            else:
                out.append(Piece(split, (span,)))
        before += file.size
    return out


def texts_of(files: Sequence[TextFile], piece: Piece, most: int | None = None) -> tuple[list[str], bytes]:
    """The text of each span of a piece, its lines ended alike, and a hash of the bytes.

    Args:
        most: read no more than so many bytes of each, and leave out what isn't whole at their end.

    Raises:
        UserError: for a file that can't be read, isn't UTF-8 (with the line), or became shorter.
    """
    digest, texts = hashlib.sha256(), []
    for span in piece.spans:
        file, end = files[span.file], span.end if most is None else min(span.end, span.begin + most)
        with opened(file) as raw:
            try:
                raw.seek(span.begin)
                content = raw.read(end - span.begin)
            except OSError as error:
                raise UserError(f"{file.path}: can't be read: {error.strerror}.") from None
        if len(content) < end - span.begin:
            raise changed(file)
        digest.update(content)
        if end < span.end:
            content = content[: content.rfind(b"\n") + 1] or content
        texts.append(_decoded(file, span.begin, content, whole=end == span.end))
    return texts, digest.digest()


def check_unchanged(files: Sequence[TextFile]) -> None:
    """Refuse files that were written to since they were found."""
    for file in files:
        try:
            status = file.path.stat()
        except OSError:
            raise changed(file) from None
        if (status.st_size, status.st_mtime_ns) != (file.size, file.stamp):
            raise changed(file)


def changed(file: TextFile) -> UserError:
    return UserError(f"{file.path}: it was changed while it was read. Begin again when nothing writes to it.")


def opened(file: TextFile) -> BinaryIO:
    """A file for reading; every way in which that can fail told as one line."""
    try:
        return file.place.open("rb")
    except OSError as error:
        raise UserError(f"{file.path}: can't be read: {error.strerror}.") from None


def _cut(content: BinaryIO, place: int, size: int, at_line: re.Pattern[bytes]) -> int:
    """The first byte from a place on, less than a piece away, that a piece may begin with."""
    content.seek(place - 1)  # the byte before is looked at: a Windows line's end is one
    window = content.read(min(PIECE, size - place) + 1)
    if found := at_line.search(window, 1 if at_line is _BREAK else 0):
        return place - 1 + (found.start() if at_line is _BREAK else found.end())
    near = window[1 : min(NEAR, PIECE) + 1]
    if found := _BLANK.search(near):
        return place + found.start()
    first = here = next((i for i, byte in enumerate(near) if byte & 0xC0 != 0x80), len(near))
    for character in near[first:].decode("utf-8", "ignore"):
        if _begins(character):
            return place + here
        here += len(character.encode())
    return size if place + len(near) == size else place + first  # nothing but marks upon one letter


def _begins(character: str) -> bool:
    """Whether a piece may begin with a character: in Unicode's form NFC it doesn't unite with what stands before it."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) == 0 and first not in _joining() and character != "\n"  # one of Windows' pairs


@functools.cache
def _joining() -> frozenset[str]:
    """The characters that unite with one before them."""
    found = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # of Korean syllables
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0][0] != "<":
            found.add(chr(int(parts[1], 16)))
    return frozenset(found)


def _decoded(file: TextFile, begin: int, content: bytes, *, whole: bool) -> str:
    if begin == 0:
        for mark, what in _MARKS.items():
            if content.startswith(mark):
                raise UserError(f"{file.path}: {what}, where UTF-8 text is wanted. Save it as that.")
        content = content.removeprefix(codecs.BOM_UTF8)
    if b"\x00" in content:
        line = _line(file, begin + content.index(b"\x00"))
        raise UserError(f"{file.path}, line {line:,}: binary data (a byte of zero), not text.")
    try:
        text = content.decode("utf-8", "strict" if whole else "ignore")
    except UnicodeDecodeError as error:
        line, byte = _line(file, begin + error.start), content[error.start]
        raise UserError(
            f"{file.path}, line {line:,}: byte 0x{byte:02x} is not UTF-8 text. Mend that line, or save the whole file "
            "as UTF-8."
        ) from None
    return text.replace("\r\n", "\n") if "\r" in text else text


def _line(file: TextFile, place: int) -> int:
    """The number of the line that a byte is in."""
    count = 1
    with opened(file) as content:
        while place > 0 and (part := content.read(min(1 << 20, place))):
            count += part.count(b"\n")
            place -= len(part)
    return count
