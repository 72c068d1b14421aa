"""Big texts as files cut into pieces, each of which can be read, normalised and tokenised for itself.

A piece is cut at a line's end; within a line too long for that, before a blank; in a text without blanks, before a
character that doesn't unite with the one before it. So the pieces' Unicode forms are together that of the whole text.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gradus.data import documents, text_cuts
from gradus.data.text_folders import texts_in
from gradus.errors import UserError

PIECE = 4_000_000  # bytes; a piece has up to twice as many
SAMPLES, SAMPLE = 64, 4_096  # places of a text that its key tells of, and the bytes of each

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
        """Whether it must be made a plain text before it can be read in pieces."""
        return self.gathered or self.path.name.lower().endswith(".gz")

    @property
    def gathered(self) -> bool:
        """Whether it holds several documents, of which the plain text has a mark in between."""
        return documents.has_documents(self.path)


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


def find_texts(source: str | Path, left_out: list[Path] | None = None) -> list[TextFile]:
    """The file at a path, or the texts of a folder and the folders in it, by name: plain, gzipped, JSONL, Parquet.

    Args:
        left_out: a list that the files of a folder are added to that are no texts.

    Raises:
        UserError: where there is none, or it is no text.
    """
    root = Path(source)
    if not root.exists():
        raise UserError(f"{root}: no such file or folder. Give a text file, or a folder of them.")
    paths = [root]
    if root.is_dir():
        paths, others = texts_in(root)
        if not paths:
            told = f" ({len(others):,} files in it are none)" if others else ""
            raise UserError(f"{root}: no text files in this folder or those in it{told}. Name another.")
        if left_out is not None:
            left_out += others
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


def unpack(file: TextFile, to: Path, has: Callable[[int], None], field: str | None = None) -> TextFile:
    """A packed file as a plain one, unpacked whole or not at all.

    Args:
        has: called with the bytes of the packed file that were read since the last call.
        field: the name of the text in JSON lines and tables; None finds it.

    Raises:
        UserError: for a damaged file, or one without texts.
        OSError: where the disk is full.
    """
    if not to.exists():
        opened(file).close()  # it may be read
        if file.gathered:
            documents.gather(file.path, to, field, has)
        else:
            documents.unzip(file.path, to, has)
    return replace(file, size=to.stat().st_size, unpacked=to)


def pieces_of(
    files: Sequence[TextFile],
    *,
    lines: bool,
    after: bool = False,
    valid: float = 0.0,
    test: float = 0.0,
    exact: bool = False,
) -> list[Piece]:
    """The whole text in pieces, a pure function of its bytes.

    Args:
        lines: whether each line is a row. Else the text runs on, and isn't cut between blank lines.
        after: whether a text that runs on is cut after the end of a line rather than before it.
        valid, test: the shares at its end that are the other splits; a split ends where a piece ends.
        exact: whether that is at the very character, rather than at a line's end near it.
    """
    total = sum(file.size for file in files)
    edges = [int(total * (1 - valid - test)), int(total * (1 - test))]
    pattern = text_cuts.LINE if lines else text_cuts.AFTER if after else text_cuts.BREAK
    out: list[Piece] = []
    before = 0
    for number, file in enumerate(files):
        wanted, ends = range(PIECE, file.size, PIECE), [e - before for e in edges if 0 < e - before < file.size]
        cuts = {0, file.size}
        if wanted or ends:
            with opened(file) as content:
                cuts |= {text_cuts.near(content, place, file.size, pattern, PIECE) for place in wanted}
                cuts |= {
                    text_cuts.at(content, e) if exact else text_cuts.near(content, e, file.size, pattern, PIECE)
                    for e in ends
                }
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


def _decoded(file: TextFile, begin: int, content: bytes, *, whole: bool) -> str:
    if begin == 0 and not file.gathered:
        for mark, what in _MARKS.items():
            if content.startswith(mark):
                raise UserError(f"{file.path}: {what}, where UTF-8 text is wanted. Save it as that.")
        content = content.removeprefix(codecs.BOM_UTF8)
    if b"\x00" in content and not file.gathered:
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
