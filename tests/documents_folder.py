"""A folder of documents for a test, and its index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gradus.language.documents import Index


class Folder:
    """An empty folder beside a cache of its own."""

    def __init__(self, place: Path) -> None:
        self.path, self.cache = place / "docs", place / "cache"
        self.path.mkdir()

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a document, stamped long ago: one that was just written is looked at again the next time."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (1_600_000_000, 1_600_000_000 + len(content)))
        return path

    def index(self, **more: Any) -> Index:
        return Index.of(self.path, cache=self.cache, **more)
