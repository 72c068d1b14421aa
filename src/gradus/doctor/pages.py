"""The page of a rule: what a person sees who has the fault, why it is one, faulty code and its mended twin.

``python -m gradus.doctor.pages docs/doctor`` writes all of them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from gradus.doctor.rule import AREAS, Rule, check_code, rules
from gradus.doctor.words import text_of

WORDS: dict[str, Any] = {
    "looks": ("What it looks like", "现象"),
    "why": ("Why", "原因"),
    "seen": ("How it is told", "如何判断"),
    "change": ("What to change", "如何修改"),
    "wrong": ("Faulty", "错误写法"),
    "right": ("Mended", "正确写法"),
    "follows": ("What may follow from it", "可能引起"),
    "kind": {
        "exact": ("the program's state proves it", "由程序状态直接证明"),
        "statistic": ("statistics of sampled steps", "抽样步骤的统计"),
        "trend": ("a trend over the run", "训练过程中的趋势"),
        "probe": ("an experiment on a copy of the model", "在模型副本上做的实验"),
    },
    "level": {
        "fault": ("fault: proved", "错误：已证实"),
        "likely": ("likely: at least two independent signs", "很可能：至少两个独立迹象"),
        "note": ("note: it depends on what was meant", "提示：取决于本意"),
    },
    "areas": {
        "error": ("Exceptions", "异常"),
        "data": ("Data and labels", "数据与标签"),
        "loss": ("Loss and output", "损失与输出"),
        "model": ("Model and weights", "模型与权重"),
        "optimizer": ("Optimiser and order of steps", "优化器与步骤顺序"),
        "rate": ("Learning rate", "学习率"),
        "mode": ("Modes and state", "模式与状态"),
        "result": ("What training came to", "训练结果"),
        "speed": ("Speed", "速度"),
    },
}


def page(code: str, language: str = "en") -> str:
    """The page of one code, as Markdown.

    Raises:
        UserError: for a code that there isn't.
    """
    check_code(code)
    return _page(rules()[code], language)


def _page(rule: Rule, language: str) -> str:
    text, zh = text_of(rule, language), language == "zh"

    def say(key: str, inner: str = "") -> str:
        pair = WORDS[key] if not inner else WORDS[key][inner]
        return str(pair[zh])

    told, change = _plain(text.seen), _plain(text.fix)
    seen = [] if _bare(told) else ["", f"## {say('seen')}", "", told]
    lines = [
        f"# {text.title.replace('{', '‹').replace('}', '›')}",
        "",
        f"`{rule.code}` · {say('level', rule.level)} · {say('kind', rule.kind)}",
        "",
        *(f"## {say('looks')}\n\n{text.looks}\n\n## {say('why')}\n\n{text.why}".split("\n")),
        *seen,
        *("", f"## {say('change')}", ""),
        *([] if _bare(change) else [change, ""]),
        *(f"{say('wrong')}:\n\n```python\n{rule.wrong.strip()}\n```\n".split("\n")),
        *(f"{say('right')}:\n\n```python\n{rule.right.strip()}\n```".split("\n")),
    ]
    known = [hidden for hidden in rule.hides if hidden in rules()]
    if known:
        lines += ["", f"{say('follows')}: {', '.join(f'`{hidden}`' for hidden in known)}"]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return re.sub(r"[{‹]([a-z_]+)(:[^}›]*)?[}›]", r"‹\1›", text)


def _bare(text: str) -> bool:
    """Whether all of it is known only when something was found."""
    return re.fullmatch("‹[a-z_]+›", text) is not None


def all_codes(language: str = "en") -> str:
    """Every code with its verdict, by area."""
    lines = []
    for area in AREAS:
        inside = [rule for rule in rules().values() if rule.area == area]
        if inside:
            lines.append(str(WORDS["areas"][area][language == "zh"]))
            lines += [f"  {rule.code:<34} {_plain(text_of(rule, language).title)}" for rule in inside]
    return "\n".join(lines) + "\n"


def write_all(folder: Path) -> list[Path]:
    """Write every page in both languages, and their index, below a folder; other pages in it are removed."""
    wanted = {}
    for number, language in enumerate(("en", "zh")):
        head = ("# What the doctor can find\n\n", "# 诊断能发现什么\n\n")[number]
        lines = [head + "`gradus doctor SCRIPT.py` · `gradus doctor RUN` · `gradus doctor --explain CODE`\n"]
        for area in AREAS:
            inside = [rule for rule in rules().values() if rule.area == area]
            if inside:
                lines.append(f"\n## {WORDS['areas'][area][number]}\n")
                lines += [f"- [{_plain(text_of(r, language).title)}]({r.code}.md) `{r.code}`" for r in inside]
        wanted[folder / language / "README.md"] = "\n".join(lines) + "\n"
        wanted |= {folder / language / f"{rule.code}.md": page(rule.code, language) for rule in rules().values()}
    for path in folder.glob("*/*.md"):
        if path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return list(wanted)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
