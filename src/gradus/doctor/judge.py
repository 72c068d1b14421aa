"""From signals to findings: all rules are asked; causes come first, and what follows from them is folded under them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gradus.doctor.rule import AREAS, LEVELS, Found, Level, Rule, rules
from gradus.doctor.signals import Signals


@dataclass(frozen=True)
class Finding:
    """What a rule found, with what follows from it."""

    rule: Rule
    found: Found
    follows: tuple[str, ...] = ()  # codes of findings that are consequences of this one
    others: int = 0  # more findings of the same rule

    @property
    def code(self) -> str:
        return self.rule.code

    @property
    def level(self) -> Level:
        return self.found.level or self.rule.level


@dataclass(frozen=True)
class Diagnosis:
    """The findings, the first is the one to begin with."""

    findings: list[Finding] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # what observers and rules themselves failed at

    @property
    def alarms(self) -> list[Finding]:
        """What is proved or likely."""
        return [finding for finding in self.findings if finding.level != "note"]


def examine(seen: Signals, silence: tuple[str, ...] = ()) -> Diagnosis:
    """Ask every rule, and order what they found.

    Args:
        silence: codes that are not to be told.
    """
    findings: list[Finding] = []
    troubles = list(seen.troubles)
    for rule in rules().values():
        if rule.code in silence:
            continue
        try:
            found = list(rule.judge(seen))
        except Exception as error:  # one rule's own fault must not hide what the others found
            troubles.append(f"{rule.code}: {type(error).__name__}: {error}")
            continue
        if found:
            found.sort(key=lambda f: LEVELS.index(f.level or rule.level))
            findings.append(Finding(rule, found[0], others=len(found) - 1))
    return Diagnosis(_folded(findings), troubles)


def _folded(findings: list[Finding]) -> list[Finding]:
    """In order, without what another finding explains: a note explains nothing."""
    findings = sorted(findings, key=lambda f: (LEVELS.index(f.level), AREAS.index(f.rule.area)))
    hidden: dict[str, str] = {}
    for finding in findings:
        if finding.level == "note" or finding.code in hidden:
            continue
        for other in findings:
            if other is not finding and other.code in finding.rule.hides and other.code not in hidden:
                hidden[other.code] = finding.code
    kept = []
    for finding in findings:
        if finding.code not in hidden:
            follows = tuple(code for code, by in hidden.items() if _root(by, hidden) == finding.code)
            kept.append(replace(finding, follows=follows))
    return kept


def _root(code: str, hidden: dict[str, str]) -> str:
    for _ in range(len(hidden)):
        if code not in hidden:
            break
        code = hidden[code]
    return code
