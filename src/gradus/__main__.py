"""``python -m gradus``, the same as ``gradus``."""

from gradus.cli import entry

entry()
