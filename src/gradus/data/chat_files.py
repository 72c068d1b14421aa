"""Conversations in files: JSON lines or JSON, also gzipped, in the three forms that are in use, read line by line.

OpenAI's ``{"messages": [{"role", "content"}, …]}``, ShareGPT's ``{"conversations": [{"from", "value"}, …]}``, and
Alpaca's ``{"instruction", "input", "output"}``. A line that can't be understood is refused with its number.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from gradus.data.chat import Message, check_messages
from gradus.errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".json")
FORMS = '{"messages": […]}, {"conversations": […]} or {"instruction": …, "output": …}'
SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "developer": "system"}
_MARK = b"\xef\xbb\xbf"


def read_chats(path: str | Path) -> Iterator[list[Message]]:
    """The conversations of a file, or of all JSON files of a folder, one after the other.

    Raises:
        UserError: for a file that can't be read, or a line that holds no conversation, with its number.
    """
    for where, value in objects_in(path):
        yield conversation_of(value, where)


def objects_in(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, or of all JSON files of a folder, each with its place: file and line.

    Raises:
        UserError: for a file that can't be read, or a line that is no object.
    """
    files = _files(Path(path))
    seen = False
    for file in files:
        for where, value in _values(file):
            seen = True
            if not isinstance(value, dict):
                raise UserError(f"{where}: not an object such as {FORMS}.")
            yield where, value
    if not seen:
        raise UserError(f"{path}: nothing in it. Give at least one conversation: {FORMS}.")


def conversation_of(value: Mapping[str, Any], where: str) -> list[Message]:
    """One object's conversation.

    Raises:
        UserError: for an object of another form, or a message that is none.
    """
    if "messages" in value:
        return check_messages(value["messages"], where)
    if "conversations" in value:
        return check_messages(_spoken(value["conversations"], where), where)
    if "instruction" in value and "output" in value:
        asked = "\n".join(str(value[key]) for key in ("instruction", "input") if value.get(key))
        before = [{"role": "system", "content": value["system"]}] if value.get("system") else []
        said = [{"role": "user", "content": asked}, {"role": "assistant", "content": value["output"]}]
        return check_messages([*before, *said], where)
    names = ", ".join(map(str, value)) or "nothing"
    raise UserError(f"{where}: no conversation: it has {names}, but {FORMS} is needed.")


def _spoken(turns: Any, where: str) -> Any:
    """ShareGPT's turns as messages; what isn't of its form is left for the check to tell."""
    if not isinstance(turns, list):
        raise UserError(f'{where}: conversations must be a list, such as [{{"from": "human", "value": "…"}}].')
    return [
        {"role": SPEAKERS.get(str(turn["from"]), turn["from"]), "content": turn["value"]}
        if isinstance(turn, dict) and "from" in turn and "value" in turn
        else turn
        for turn in turns
    ]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if _is_json(file))
        if not found:
            raise UserError(f"{path}: no file in it ends in {', '.join(SUFFIXES)} or one of these with .gz.")
        return found
    if not path.exists():
        raise UserError(f"{path}: no such file or folder. Give conversations as JSON lines: {FORMS}.")
    if not _is_json(path):
        raise UserError(f"{path}: not JSON by its name. Give {', '.join(SUFFIXES)}, also with .gz.")
    return [path]


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with _opened(path) as file:
            first = file.read(1)
            while first.isspace():
                first = file.read(1)
            file.seek(0)
            lines = path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")) or first != b"["
            yield from _of_lines(path, file) if lines else _of_list(path, file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: can't be read: {reason}. Fetch it again, or unpack it.") from None


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _of_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(file, start=1):
        told = line.removeprefix(_MARK) if number == 1 else line
        if told.strip():
            where = f"{path}, line {number}"
            yield where, _parsed(told, where, "Each line is to be one object.")


def _of_list(path: Path, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    values = _parsed(file.read(), str(path), "")
    for number, value in enumerate(values, start=1):
        yield f"{path}, entry {number}", value


def _parsed(content: bytes, where: str, advice: str) -> Any:
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: byte 0x{content[error.start]:02x} is not UTF-8 text. Save the file as UTF-8."
        ) from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, " if "\n" in error.doc.rstrip("\n") else ""
        raise UserError(f"{where}: not JSON ({error.msg}, {at}character {error.colno}). {advice}".rstrip()) from None
    except RecursionError:
        raise UserError(f"{where}: lists within lists too deep to be a conversation.") from None
