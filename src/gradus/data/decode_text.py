"""From the bytes of a file to its text: archives of one file unpacked, encodings told or refused with the line.

UTF-8 is expected. A byte-order mark tells UTF-8, UTF-16 and UTF-32; any other encoding is named by the person, for
a wrong guess would be learnt from without a word.
"""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from pathlib import Path, PurePosixPath

from gradus.errors import UserError

ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252", "gb18030", "gbk", "big5", "shift_jis", "euc_kr", "koi8-r")
_MARKS = (  # that of UTF-32 first, for it begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXTS = (".txt", ".csv", ".tsv", ".tab")
_LARGEST_MEMBER = 4_000_000_000  # bytes; a zip file that claims more is taken for a bomb


def decoded(path: Path, content: bytes, encoding: str | None = None) -> str:
    """A file's bytes as text, without its byte-order mark; the lines of old Macs end as all others do.

    Args:
        encoding: any that Python knows; None takes what a byte-order mark tells, else UTF-8.

    Raises:
        UserError: for an unknown encoding, a byte that isn't of it (with its line), or binary data.
    """
    name = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if name == "utf-8" and b"\x00" in content:
        raise UserError(_binary(path, content))
    try:
        name = "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name
        text = content.decode(name)
    except LookupError:
        known = ", ".join(ENCODINGS)
        raise UserError(f"{path}: no text encoding '{encoding}' is known. Some that are: {known}.") from None
    except UnicodeDecodeError as error:
        raise UserError(_bad_byte(path, content, encoding, name, error.start)) from None
    if "\x00" in text:
        raise UserError(f"{path}, line {_line(text[: text.index(chr(0))])}: binary data (a NUL), not text.")
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends. Only line feeds (and Windows' pairs) end one, unlike ``splitlines``."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def unpacked_member(path: Path, content: bytes) -> bytes:
    """The one text or table of a zip archive; the bytes themselves where they are no zip.

    Raises:
        UserError: for a damaged archive, one with several or no such files, or an Excel workbook.
    """
    if content[:4] != b"PK\x03\x04":
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if any(info.filename == "xl/workbook.xml" for info in files):
                raise UserError(f"{path}: an Excel workbook. Save the sheet as CSV (UTF-8) and give that file.")
            names = [PurePosixPath(info.filename) for info in files]
            told = [i for i, n in zip(files, names, strict=True) if n.suffix in _TEXTS and n.name[0] not in "._"]
            if len(told) != 1:
                some = ", ".join(info.filename for info in (told or files)[:5])
                raise UserError(
                    f"{path}: {len(told)} text files in the archive, where one is wanted ({some}). Unpack it and "
                    "name the file."
                )
            if told[0].file_size > _LARGEST_MEMBER:
                raise UserError(f"{path}: '{told[0].filename}' would be {told[0].file_size:,} bytes; not unpacked.")
            return archive.read(told[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: the zip file is cut short, damaged or locked ({reason}). Fetch it again.") from None


def _binary(path: Path, content: bytes) -> str:
    head = content[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd > 0.01 * len(head) and min(even, odd) == 0 and max(even, odd) > 2:
        place = "be" if even else "le"  # the high half of a pair that is a letter, or a line's end
        return (
            f"{path}: UTF-16 text without a mark that says so. Save it as UTF-8, or name it: --encoding utf-16-{place}."
        )
    return (
        f"{path}, line {content.count(10, 0, content.index(0)) + 1}: binary data (a byte of zero), not text. Give a "
        "text or table file (CSV, TSV, JSON lines, Parquet; also gzipped)."
    )


def _bad_byte(path: Path, content: bytes, encoding: str | None, name: str, start: int) -> str:
    line = _line(content[:start].decode(name, errors="replace"))
    byte = f"{path}, line {line}: byte 0x{content[start]:02x}"
    if encoding is not None or name != "utf-8-sig":
        return f"{byte} is not {name.removesuffix('-sig').upper()} text. Name the file's own encoding with --encoding."
    before = content[:start].removeprefix(codecs.BOM_UTF8)
    if not before.isascii():
        return (
            f"{byte} is not UTF-8 text, but what stands above is: the file mixes encodings. Mend that line, or "
            "save the whole file as UTF-8."
        )
    likely = _likely(content[start : start + 65536])
    return f"{byte} is not UTF-8 text. Save the file as UTF-8, or name its encoding, perhaps --encoding {likely}."


def _likely(content: bytes) -> str:
    """An encoding to try. In Latin letters few bytes beyond ASCII stand together; in Chinese nearly all do."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    return "latin-1" if runs.count(1) > 0.5 * len(runs) else "gb18030"


def _line(before: str) -> int:
    """The number of the line that comes after this text."""
    return before.count("\n") + 1 if "\n" in before else before.count("\r") + 1
