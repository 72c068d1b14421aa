"""The Chinese README is the faithful twin of the English one: the same code, commands, links, tables and figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def skeleton(name: str) -> dict[str, list[str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {
        "headings": [m[1] for m in re.finditer(r"^(#+) ", plain, re.MULTILINE)],
        "code": [code for kind, code in blocks if kind in ("bash", "python")],
        "commands": [line.split("  ")[0] for kind, code in blocks if kind == "text" for line in code.splitlines()],
        "inline": re.findall(r"`([^`]+)`", plain),
        "links": re.findall(r"\]\(([^)]+)\)", plain),
        "figures": re.findall(r"\d+\.\d+", plain),
        "rows": [str(line.count("|")) for line in plain.splitlines() if line.startswith("|")],
    }


def test_the_chinese_readme_is_a_faithful_twin() -> None:
    english, chinese = skeleton("README.md"), skeleton("README.zh-CN.md")
    for part, found in english.items():
        if part == "inline":  # the two languages may name the same things in another order
            assert sorted(found) == sorted(chinese[part]), part
        else:
            assert found == chinese[part], part
    assert len(english["code"]) == 6


@pytest.mark.parametrize("page", sorted(p.stem for p in (ROOT / "docs").glob("*.md") if "." not in p.stem))
def test_a_page_of_the_documentation_has_its_chinese_twin(page: str) -> None:
    english, chinese = skeleton(f"docs/{page}.md"), skeleton(f"docs/{page}.zh-CN.md")
    for part in ("headings", "links", "rows"):
        assert english[part] == chinese[part], part
    assert [words_of(code) for code in english["code"]] == [words_of(code) for code in chinese["code"]]


def words_of(code: str) -> list[str]:
    """Lines of code without what a translation changes: comments, quoted texts, and how far they are moved in."""
    lines = (re.sub(r'"[^"]*"|\'[^\']*\'', '""', line).partition("#")[0].rstrip() for line in code.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]
