"""The doctor on the scripts of its test-bed: faults are named, mended twins and healthy scripts are left in peace."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import bed
import pytest
import torch

from gradus.doctor.rule import Text, rules
from gradus.doctor.watch import Watch  # noqa: F401 - loaded once, before the forks

torch.set_num_threads(1)
TUNED = bed.cases("tuned")
PROVED = [case for case in TUNED if case.code in rules() and rules()[case.code].kind == "exact"]
MENDED = [case for case in PROVED if case.kind == "fixed"][::3]  # all of them in the slow test of the whole bed
ODD = [case for case in TUNED if case.kind == "healthy"][::3]


def test_the_bed_is_what_it_is_said_to_be() -> None:
    all_cases = bed.cases()
    by_kind = {kind: [case for case in all_cases if case.kind == kind] for kind in bed.KINDS}
    assert len(by_kind["faulty"]) >= 60
    assert len(by_kind["healthy"]) >= 40
    assert {c.path.name for c in by_kind["faulty"]} == {c.path.name for c in by_kind["fixed"]}
    assert sum(case.source != "planted" for case in by_kind["faulty"]) >= 30
    assert {case.code for case in by_kind["faulty"]} <= set(rules())
    assert {"MLP", "CNN", "RNN", "Transformer"} <= {case.model for case in by_kind["faulty"]}


@pytest.mark.parametrize("case", [c for c in PROVED if c.kind == "faulty"], ids=lambda case: case.path.stem)
def test_a_fault_that_can_be_proved_is_named_first(case: bed.Case) -> None:
    result = bed.examine(case.path)
    assert result.codes[:1] == [case.code], (result.codes, result.ended, result.printed)
    assert not result.troubles


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case.path.stem)
def test_its_mended_twin_is_left_in_peace(case: bed.Case) -> None:
    result = bed.examine(case.path)
    assert not result.codes, (result.findings, result.printed)
    assert not result.ended
    assert not result.troubles


@pytest.mark.parametrize("case", ODD, ids=lambda case: case.path.stem)
def test_what_is_odd_but_right_is_left_in_peace(case: bed.Case) -> None:
    result = bed.examine(case.path)
    assert not result.codes, (result.findings, result.printed)
    assert not result.ended
    assert not result.troubles


@pytest.mark.slow
@pytest.mark.parametrize("part", ["tuned", "untouched"])
def test_the_whole_bed(part: str) -> None:
    said: dict[str, list[str]] = {kind: [] for kind in bed.KINDS}
    for case in bed.cases(part):
        for seed in range(3):
            result = bed.examine(case.path, seed)
            said[case.kind].append(bed.verdict(case, result))
            assert not result.troubles, (case.name, result.troubles)
    named, first, alarms = (0.95, 0.90, 0.02) if part == "tuned" else (0.85, 0.80, 0.02)
    faulty = said["faulty"]
    assert sum(word in ("first", "named") for word in faulty) >= named * len(faulty)
    assert faulty.count("first") >= first * len(faulty)
    assert said["healthy"].count("ALARM") <= alarms * len(said["healthy"])


def test_watched_scripts_print_the_same_numbers() -> None:
    """To the bit: the losses that ten scripts print, with their optimisers, dropout, loaders and recurrent nets."""
    chosen = [case for case in TUNED if case.kind != "faulty"]
    chosen = sorted(chosen, key=lambda case: (case.model, case.kind, case.name))[:: max(1, len(chosen) // 10)][:10]
    assert len({case.model for case in chosen}) >= 4
    for case in chosen:
        with_doctor, without = (bed.examine(case.path, 1, watched=watched) for watched in (True, False))
        assert with_doctor.printed == without.printed, case.name
        assert with_doctor.printed.strip(), case.name


@pytest.mark.parametrize("framework", ["lightning", "transformers"])
def test_scripts_of_frameworks_print_the_same_numbers(framework: str) -> None:
    pytest.importorskip("accelerate" if framework == "transformers" else framework)
    path = Path(__file__).parent / "frameworks" / f"{framework}_script.py"
    with_doctor, without = (bed.examine(path, 0, watched=watched) for watched in (True, False))
    assert not with_doctor.ended, (with_doctor.ended, with_doctor.printed)
    losses = [
        [line for line in result.printed.splitlines() if line.startswith("loss")] for result in (with_doctor, without)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) >= 5
    assert not with_doctor.codes, with_doctor.findings


def test_a_fault_in_a_framework_is_named() -> None:
    pytest.importorskip("lightning")
    result = bed.examine(Path(__file__).parent / "frameworks" / "lightning_faulty.py")
    assert result.codes[:1] == ["softmax-before-cross-entropy"], (result.codes, result.ended, result.printed)


def _fields(text: str) -> set[str]:
    return {name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_rule_says_the_same_in_both_languages() -> None:
    for rule in rules().values():
        for part in ("title", "seen", "why", "fix"):
            english, chinese = getattr(rule.en, part), getattr(rule.zh, part)
            assert _fields(english) == _fields(chinese), (rule.code, part)
            assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese) or part in ("seen", "fix"), (
                rule.code,
                part,
            )
        assert isinstance(rule.en, Text)
        ast.parse(rule.wrong)
        ast.parse(rule.right)
        assert rule.wrong.strip() != rule.right.strip()
        assert set(rule.hides) <= set(rules()), (rule.code, set(rule.hides) - set(rules()))


def test_the_pages_are_those_of_the_rules(tmp_path: Path) -> None:
    from gradus.doctor.pages import write_all

    kept = Path(__file__).parents[2] / "docs" / "doctor"
    for path in write_all(tmp_path):
        beside = kept / path.relative_to(tmp_path)
        assert beside.is_file(), f"python -m gradus.doctor.pages docs/doctor (for {beside.name})"
        assert beside.read_text() == path.read_text(), f"python -m gradus.doctor.pages docs/doctor (for {beside.name})"
    assert len(list(kept.glob("en/*.md"))) - 1 == len(list(kept.glob("zh/*.md"))) - 1 == len(rules()) >= 45
