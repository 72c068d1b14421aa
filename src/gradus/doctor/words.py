"""Findings in words, for a terminal, for summary.json, in two languages."""

from __future__ import annotations

from typing import Any

from gradus.doctor.judge import Diagnosis, Finding
from gradus.doctor.measured import measured
from gradus.doctor.rule import Rule, Text
from gradus.doctor.signals import Signals

LANGUAGES = ("en", "zh")
LABELS = {
    "fault": ("fault", "错误"),
    "likely": ("likely", "很可能"),
    "note": ("note", "提示"),
    "seen": ("measured", "测得"),
    "where": ("where", "位置"),
    "subject": ("what", "对象"),
    "why": ("cause", "原因"),
    "fix": ("change", "修改"),
    "follows": ("explains", "由此引起"),
    "more": ("and {n} more like it", "另有 {n} 处同类"),
    "silence": ("is it meant so? gradus doctor --silence {code} …", "本意如此？gradus doctor --silence {code} …"),
    "ended": ("ended by", "异常结束"),
    "trouble": ("a fault of its own, the script isn't to blame:", "诊断程序自身出错，与脚本无关："),
    "headline": ("{alarms} to mend, {notes} to look at", "{alarms} 处需要修改，{notes} 处值得看看"),
    "nothing": ("no fault found; here is what was measured", "没有发现错误；测得如下"),
}


def label(key: str, language: str) -> str:
    return LABELS[key][LANGUAGES.index(language)]


def text_of(rule: Rule, language: str) -> Text:
    return rule.zh if language == "zh" else rule.en


def told(finding: Finding, language: str = "en") -> dict[str, Any]:
    """A finding as plain values: what summary.json and --json hold."""
    text, numbers = text_of(finding.rule, language), finding.found.numbers
    place = finding.found.place
    number = LANGUAGES.index(language)
    numbers = {key: value[number] if isinstance(value, tuple) else value for key, value in numbers.items()}
    values = {"subject": finding.found.subject, **numbers}
    return {
        "code": finding.code,
        "level": finding.level,
        "verdict": _filled(text.title, values),
        "evidence": _filled(text.seen, values),
        "cause": _filled(text.why, values),
        "change": _filled(text.fix, values),
        "where": None if place is None else str(place),
        "source": None if place is None else place.source,
        "subject": finding.found.subject,
        "numbers": {key: value for key, value in numbers.items() if isinstance(value, int | float | str)},
        "explains": list(finding.follows),
        "others": finding.others,
    }


def all_told(diagnosis: Diagnosis, language: str = "en") -> list[dict[str, Any]]:
    return [told(finding, language) for finding in diagnosis.findings]


def both_told(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Findings as summary.json keeps them: in English, and the same words in Chinese under ``zh``."""
    spoken = ("verdict", "evidence", "cause", "change")
    pairs = zip(all_told(diagnosis), all_told(diagnosis, "zh"), strict=True)
    return [{**en, "zh": {key: zh[key] for key in spoken}} for en, zh in pairs]


def _filled(template: str, values: dict[str, Any]) -> str:
    return template.format_map(values)


def summary(seen: Signals, diagnosis: Diagnosis, language: str) -> dict[str, Any]:
    """What ``gradus doctor --json`` prints."""
    return {
        "program": seen.program,
        "updates": seen.updates,
        "seconds": round(seen.seconds, 3),
        "error": None if seen.error is None else f"{seen.error.kind}: {seen.error.message}",
        "findings": all_told(diagnosis, language),
        "measured": dict(measured(seen, language)),
        "troubles": diagnosis.troubles,
    }
