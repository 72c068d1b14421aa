"""The text that is always at hand: the documentation that came with this Python, gathered once into the cache."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from gradus.data.cache import cache_directory
from gradus.errors import UserError

VERSION = 1  # of what is gathered, and how it is written
OTHERS = ("site-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data")
SHORT = 80  # characters of a document that isn't worth being one
LESSONS = 5_000  # that a vocabulary of this text is fitted on, too

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_docs() -> Path:
    """Python's language reference by topics, and what the modules of its library say of themselves, as JSON lines.

    Each line is a document with a title and a text. They are in an order of chance, the same for everyone who has this
    version of Python, so that the end of the text, which is held out, is like the rest. The modules are read, not run.

    Raises:
        UserError: where this Python came without its library's sources and documentation, or the cache can't be
            written.
    """
    path = _place()
    if path.exists():
        return path
    found = {f"Python: {title}": text.strip() for title, text in _topics().items()}
    found |= dict(_modules(Path(sysconfig.get_path("stdlib"))))
    documents = {title: text for title, text in found.items() if len(text) >= SHORT}
    if not documents:
        raise UserError("this Python came without its documentation: name a text of your own with --data.")
    lines = [
        json.dumps({"title": title, "text": documents[title]}, ensure_ascii=False)
        for title in sorted(documents, key=lambda title: hashlib.sha256(title.encode()).digest())
    ]
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace", newline="")
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            f"{path.parent}: Python's documentation can't be kept there: {error.strerror}. Make room, or name another "
            "directory in GRADUS_CACHE."
        ) from None
    return path


def is_built_in(path: Path) -> bool:
    """Whether a file is that of ``python_docs``."""
    return path.resolve() == _place().resolve()


def lesson_texts(*, held_out: bool = False) -> list[str]:
    """What is said in some of the built-in lessons, of training or of the test: a fifth of it is Chinese."""
    from gradus.data import lessons

    found = lessons.held_out(LESSONS // 20, seed=1) if held_out else lessons.lessons(LESSONS, seed=1)
    return [message["content"] for lesson in found for message in lesson.messages]


def _place() -> Path:
    return cache_directory() / f"python-docs-{platform.python_version()}-{VERSION}.jsonl"


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some systems pack it apart
        return {}
    return dict(topics)


def _modules(library: Path) -> Iterator[tuple[str, str]]:
    """The name of each module with its own words and those of its classes and functions; none are told twice."""
    seen: set[str] = set()
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if any(part in OTHERS or part.startswith(("test_", "config-")) for part in parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old ways to write things
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = "\n\n".join(_said(tree, "", seen))
        if text:
            yield name, f"Module {name}\n\n{text}"


def _said(node: ast.Module | ast.ClassDef | Function, within: str, seen: set[str]) -> Iterator[str]:
    """What a module, class or function says of itself, below the line that defines it, and what is in it says."""
    told = ast.get_docstring(node)
    if told and told.strip() and told not in seen:
        seen.add(told)
        head = "" if isinstance(node, ast.Module) else f"{_head(node, within)}\n"
        indent = "" if isinstance(node, ast.Module) else "    "
        yield head + "\n".join(f"{indent}{line}".rstrip() for line in told.strip().splitlines())
    if isinstance(node, Function):
        return
    inside = f"{within}{node.name}." if isinstance(node, ast.ClassDef) else ""
    for child in node.body:
        if isinstance(child, ast.ClassDef | Function):
            yield from _said(child, inside, seen)


def _head(node: ast.ClassDef | Function, within: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {within}{node.name}" + (f"({bases}):" if bases else ":")
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{kind} {within}{node.name}({ast.unparse(node.args)}):"
