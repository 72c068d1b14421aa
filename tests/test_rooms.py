"""The rooms below the recipes never import the package's front door, through which everything could be reached."""

from __future__ import annotations

import ast
from pathlib import Path

import gradus

SOURCE = Path(gradus.__file__).parent
LOWER = ("data", "models", "tasks", "training", "language", "reports", "serving")


def test_lower_rooms_do_not_go_round_by_the_front_door() -> None:
    found = []
    for room in LOWER:
        for file in (SOURCE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import) and any(alias.name == "gradus" for alias in node.names):
                    found.append(f"{file.name}: import gradus")
                if isinstance(node, ast.ImportFrom) and node.module == "gradus":
                    found += [f"{file.name}: {a.name}" for a in node.names if not (SOURCE / a.name).exists()]
    assert found == []
