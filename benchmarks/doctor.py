"""How often ``gradus doctor`` names the fault of a script, and how often it errs, beside four published packages.

    python benchmarks/doctor.py [--rivals FOLDER | --without-rivals] [--parts tuned,untouched] [--seeds 0,1,2]
        [--only NAME] [--cache FOLDER] [--out FILE]

Runs all scripts of the test-bed (``tests/doctor``; see ``bed.py`` there): the bare script, ours, and each package that
is found in FOLDER, one after the other, script by script; ours with the other seeds, too. It writes
``benchmarks/doctor.md``, or, with ``--only`` (a part of a script's name, or a code), prints the same text. How the
packages are attached, how they are installed, and which of their messages name which fault, is written in
``doctor_rivals.py``. ``--cache`` keeps the result of each run in a folder, as long as neither the script nor what ran
it has changed. With ``--times`` the machine should be idle.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import doctor_rivals
import torch
from doctor_rivals import KINDS, TOOLS, Kind, Said

import gradus
import gradus.doctor.judge
import gradus.doctor.script
import gradus.doctor.watch
import gradus.doctor.words
from gradus.doctor.rule import rules

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "doctor"))
bed: Any = importlib.import_module("bed")
LOOKED_AT = (
    " One of it was not quite: after the count of 30 November 2026 (86 of 90 named) a message of PyTorch was seen in "
    "that run's log, of wine_int32_targets, which was then missed; the rule knows it since."
)
KILLED = "killed"  # in how a run ended that its time limit stopped
OFTEN = 0.1  # a kind of message that is raised on a larger share of the healthy scripts names nothing


@dataclass
class Ours:
    """What the doctor said of a script with one seed."""

    codes: list[str]
    notes: list[str]
    died: bool
    ended: str
    seconds: float


@dataclass
class Row:
    """A script, and all that was said of it."""

    case: Any
    bare: float = math.nan  # seconds of the script by itself, with the first seed
    ours: list[Ours] = field(default_factory=list)  # by seed
    rivals: dict[str, Said] = field(default_factory=dict)

    def verdicts(self) -> list[str]:
        return [
            bed.verdict(self.case, bed.Result(codes=one.codes, notes=one.notes, died=one.died)) for one in self.ours
        ]


# running


class Cache:
    """Results of single runs, as JSON files."""

    def __init__(self, folder: str | None) -> None:
        self.folder = Path(folder) if folder else None
        self.used = 0
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: Sequence[object]) -> dict[str, Any] | None:
        file = self._file(key)
        if file is None or not file.exists():
            return None
        self.used += 1
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def put(self, key: Sequence[object], value: dict[str, Any]) -> None:
        file = self._file(key)
        if file is not None:
            file.write_text(json.dumps(value))

    def _file(self, key: Sequence[object]) -> Path | None:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
        return self.folder / f"{name}.json" if self.folder else None


def digest(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(file.read_bytes())
    return whole.hexdigest()


def run_ours(cache: Cache, stamp: str, case: Any, seed: int, watched: bool) -> Ours:
    key = ("ours" if watched else "bare", stamp, case.name, seed, digest([case.path]))
    found = cache.get(key)
    if found is None:
        result = bed.examine(case.path, seed, watched=watched)
        found = {key: getattr(result, key) for key in ("codes", "notes", "died", "ended", "seconds")}
        if not result.died:
            cache.put(key, found)
    return Ours(**found)


def run_rival(cache: Cache, stamp: str, name: str, folder: Path, case: Any, seed: int) -> Said:
    key = (name, stamp, case.name, seed, digest([case.path]))
    found = cache.get(key)
    if found is None:
        found = dataclasses.asdict(doctor_rivals.run(name, folder, case.path, seed))
        if KILLED not in found["ended"]:
            cache.put(key, found)
    return Said(**found)


def versions_in(folder: Path | None) -> dict[str, str]:
    """The versions of the packages that are in the folder, by name."""
    if folder is None:
        return {}
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions(path=[str(folder)])}
    return {name: found[name] for name in TOOLS if name in found}


def run_all(asked: argparse.Namespace, cases: list[Any], versions: dict[str, str], cache: Cache) -> list[Row]:
    gradus_files = [*(ROOT / "src" / "gradus" / "doctor").rglob("*.py"), ROOT / "tests" / "doctor" / "bed.py"]
    stamp = digest(gradus_files) + torch.__version__
    driver = digest([HERE / "doctor_rivals.py"]) + torch.__version__
    rows = []
    for number, case in enumerate(cases):
        row, begun = Row(case), time.perf_counter()
        first = asked.seeds[0]
        turns = [*(["bare"] if asked.times else []), "ours", *versions]
        for name in turns[number % len(turns) :] + turns[: number % len(turns)]:
            if name == "bare":
                row.bare = run_ours(cache, stamp, case, first, watched=False).seconds
            elif name == "ours":
                row.ours.insert(0, run_ours(cache, stamp, case, first, watched=True))
            else:
                row.rivals[name] = run_rival(cache, driver + versions[name], name, asked.rivals, case, first)
        row.ours += [run_ours(cache, stamp, case, seed, watched=True) for seed in asked.seeds[1:]]
        rows.append(row)
        told = " ".join(row.verdicts())
        others = "".join(f" | {name}: {', '.join(said.kinds) or '-'}" for name, said in sorted(row.rivals.items()))
        took = time.perf_counter() - begun
        print(f"{number + 1}/{len(cases)} {case.name} [{case.code}] {told} ({took:.0f} s){others}", flush=True)
        for one in row.ours:
            if KILLED in one.ended:
                print(f"   ours: {one.ended}", flush=True)
        for name, said in sorted(row.rivals.items()):
            if said.trouble or said.ended or not said.attached:
                attached = "" if said.attached else "not attached"
                print(f"   {name}: {'; '.join(filter(None, (attached, said.trouble, said.ended)))}", flush=True)
    return rows


# counting


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n."""
    if not n:
        return 0.0, 1.0
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def shared(hits: Iterable[bool], scripts: int) -> str:
    """Count, percentage and interval."""
    all_hits = list(hits)
    if not all_hits:
        return "none ran"
    share = sum(all_hits) / len(all_hits)
    low, high = wilson(share, scripts)
    return f"{sum(all_hits)} of {len(all_hits)} = {share:.1%} ({low:.1%} to {high:.1%})"


def kind_of(name: str, kind: str) -> Kind:
    return KINDS[name].get(kind, Kind("not in the table"))


def alarmed(name: str, said: Said) -> bool:
    return any(kind_of(name, kind).alarm for kind in said.kinds)


def common(rows: list[Row], name: str) -> set[str]:
    """Kinds of messages that a package raises on more than a tenth of the healthy scripts."""
    healthy = [row.rivals[name].kinds for row in rows if row.case.kind == "healthy" and name in row.rivals]
    kinds = {kind for kinds in healthy for kind in kinds}
    return {kind for kind in kinds if sum(kind in kinds for kinds in healthy) > OFTEN * len(healthy)}


def names(name: str, said: Said, code: str, too_common: set[str]) -> bool:
    return any(code in kind_of(name, kind).codes and kind not in too_common for kind in said.kinds)


# writing


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def written(asked: argparse.Namespace, rows: list[Row], versions: dict[str, str], cached: int) -> str:
    parts = [part for part in asked.parts if any(row.case.part == part for row in rows)]
    too_common = {name: common(rows, name) for name in versions}
    return "\n".join(
        [
            "# `gradus doctor`: what it names, and where it errs\n",
            _about(asked, rows, versions, cached),
            "## Ours\n",
            table(("scripts", "all seeds: runs", *parts), _ours(rows, parts)),
            _errors(rows),
            *(["## Beside other packages\n", _beside(asked, rows, parts, versions, too_common)] if versions else []),
            "## Case by case\n",
            _case_by_case(rows, versions, too_common),
            *(["## Which message is taken for the name of which fault\n", _mapping(rows, versions, too_common)]
              if versions else []),
        ]
    )  # fmt: skip


def _about(asked: argparse.Namespace, rows: list[Row], versions: dict[str, str], cached: int) -> str:
    lines = (line.split(":", 1) for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name"))
    model = next((line[1].strip() for line in lines), platform.processor() or "unknown")
    others = ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"
    missing = [name for name in TOOLS if name not in versions and not asked.without_rivals]
    counts = {kind: sum(row.case.kind == kind for row in rows) for kind in bed.KINDS}
    kept = f" {cached} single runs were read from a cache of runs of the same scripts and programs." if cached else ""
    killed = sum(KILLED in one.ended for row in rows for one in row.ours)
    return (
        "Written by `python benchmarks/doctor.py`; not edited by hand.\n\n"
        f"- Run on {date.today().isoformat()}, seeds {', '.join(map(str, asked.seeds))}, one thread a script.{kept}\n"
        f"- gradus {gradus.__version__}, torch {torch.__version__}, Python {platform.python_version()}, {model}, "
        f"{os.cpu_count()} cores.\n"
        f"- Other packages, with seed {asked.seeds[0]}: {others}."
        + (f" Not in the folder, and left out: {', '.join(missing)}." if missing else "")
        + f"\n- {counts['faulty']} scripts with one fault each, {counts['fixed']} mended twins, {counts['healthy']} "
        "odd but healthy scripts. The rules were made with the part *tuned* in view; the part *untouched* was kept "
        f"out of sight.{LOOKED_AT}\n"
        + (f"- {killed} runs of ours were killed after {bed.SECONDS} s, and count as silent.\n" if killed else "")
        + "- **The test-bed is ours**: we chose the faults and wrote the scripts, and the faults are those that our "
        "rules have codes for. That favours ours: the other packages were made for other faults, too, and for longer "
        "trainings. The tables compare what happens on these scripts, not what the packages are worth.\n"
        "- Intervals are Wilson's, 95 %, of the share over all runs, with the number of *scripts* as n, since runs of "
        "one script with several seeds are hardly independent.\n"
    )


def _read(file: str) -> str:
    return Path(file).read_text() if Path(file).exists() else ""


def _ours(rows: list[Row], parts: list[str]) -> list[list[str]]:
    exact = {code for code, rule in rules().items() if rule.kind == "exact"}
    lines = (
        ("faulty", "cause named", "faulty", False, ("first", "named")),
        ("faulty", "cause ranked first", "faulty", False, ("first",)),
        ("healthy", "an alarm (should be 0)", "healthy", False, ("ALARM",)),
        ("mended twins", "silent", "fixed", False, ("silent",)),
        ("mended twins of exact rules", "silent", "fixed", True, ("silent",)),
    )
    told = []
    for scripts, what, kind, only_exact, good in lines:
        line = [scripts, what]
        for part in parts:
            chosen = [
                r for r in rows
                if r.case.part == part and r.case.kind == kind and (r.case.code in exact or not only_exact)
            ]  # fmt: skip
            line.append(shared((verdict in good for row in chosen for verdict in row.verdicts()), len(chosen)))
        told.append(line)
    line = ["faulty", "of these by an alarm, no mere note"]
    for part in parts:
        chosen = [r for r in rows if r.case.part == part and r.case.kind == "faulty"]
        line.append(shared((r.case.code in one.codes for r in chosen for one in r.ours), len(chosen)))
    told.insert(2, line)
    return told


def _errors(rows: list[Row]) -> str:
    wrong = []
    for row in rows:
        codes = sorted({code for one in row.ours for code in one.codes})
        if row.case.kind != "faulty" and codes:
            times = sum(bool(one.codes) for one in row.ours)
            wrong.append(f"`{row.case.name}` ({times} of {len(row.ours)}: {', '.join(codes)})")
    return "Alarms where there should be none: " + ("; ".join(wrong) or "none") + ".\n"


def _beside(
    asked: argparse.Namespace,
    rows: list[Row],
    parts: list[str],
    versions: dict[str, str],
    too_common: dict[str, set[str]],
) -> str:
    lines = []
    for part in parts:
        of = {kind: [r for r in rows if r.case.part == part and r.case.kind == kind] for kind in bed.KINDS}
        every = [row for kind in of.values() for row in kind]
        lines.append([
            part, "ours",
            *(shared((bool(row.ours[0].codes) for row in of["faulty"]), len(of["faulty"])),
              shared((row.case.code in row.ours[0].codes for row in of["faulty"]), len(of["faulty"])),
              shared((bool(row.ours[0].codes) for row in of["healthy"]), len(of["healthy"])),
              shared((bool(row.ours[0].codes) for row in of["fixed"]), len(of["fixed"]))),
            _ratio([row.ours[0].seconds / row.bare for row in every]), "all", "0",
        ])  # fmt: skip
        for name in versions:
            said = {kind: [alarmed(name, row.rivals[name]) for row in of[kind]] for kind in bed.KINDS}
            named = [names(name, row.rivals[name], row.case.code, too_common[name]) for row in of["faulty"]]
            broken = sum(bool(row.rivals[name].ended) and not row.ours[0].ended for row in every)
            lines.append([
                part, name, shared(said["faulty"], len(of["faulty"])), shared(named, len(named)),
                shared(said["healthy"], len(of["healthy"])), shared(said["fixed"], len(of["fixed"])),
                _ratio([row.rivals[name].seconds / row.bare for row in every if row.rivals[name].seconds]),
                str(sum(row.rivals[name].attached for row in every)), str(broken),
            ])  # fmt: skip
    head = (
        "part", "", "faulty: any alarm", "faulty: cause named", "healthy: an alarm", "mended: an alarm", "time ratio",
        "attached", "broken",
    )  # fmt: skip
    notes = (
        f"\nAll with seed {asked.seeds[0]}, in turns. The time ratio is the median over the scripts of the seconds "
        "under a tool by those of the script by itself (in brackets: the largest); loading a package isn't counted. "
        "Attached: scripts that it could be attached to; what ends before its first pass counts as no alarm. "
        "Broken: scripts that end with an exception under it, or not within "
        f"{doctor_rivals.SECONDS} s, and well under ours.\n\n"
        "**Named** means for them: one of the messages is of a kind that is a fair name of the case's code (the table "
        "at the end, which is that at the top of `benchmarks/doctor_rivals.py`, generous in doubt), and the same tool "
        f"raises this kind on at most {OFTEN:.0%} of the healthy scripts, for what is said of everything names "
        "nothing. Ours must give the very code. Advice on speed and style is switched off or not counted as an alarm; "
        "it may name a fault all the same.\n\n"
        "How each is attached to a script that doesn't know of it (those that hook into training: to the first "
        "outermost module that is called with gradients and has weights of an optimizer, just before that call, and to "
        "that optimizer):\n\n"
    )
    hows = "".join(
        f"- {name}: {TOOLS[name].how}" + (f" Off: {TOOLS[name].off}." if TOOLS[name].off else "") + "\n"
        for name in versions
    )
    return table(head, lines) + notes + hows


def _ratio(ratios: list[float]) -> str:
    ratios = [ratio for ratio in ratios if math.isfinite(ratio)]
    return f"{statistics.median(ratios):.2f} ({max(ratios):.1f})" if ratios else "not timed"


def _case_by_case(rows: list[Row], versions: dict[str, str], too_common: dict[str, set[str]]) -> str:
    lines = []
    for row in rows:
        if row.case.kind != "faulty":
            continue
        firsts = [one.codes[0] if one.codes else "nothing" for one in row.ours]
        counted = {first: f"{first} ({firsts.count(first)})" for first in firsts}
        told = list(counted.values() if len(counted) > 1 else counted)
        named = sum(verdict != "MISSED" for verdict in row.verdicts())
        who = [name for name in versions if names(name, row.rivals[name], row.case.code, too_common[name])]
        lines.append(
            [row.case.name.replace("/faulty/", "/"), row.case.code, ", ".join(told), f"{named} of {len(row.ours)}"]
            + ([", ".join(who) or "-"] if versions else [])
        )
    head = ["script", "fault", "ours said first", "ours named it"] + (["others that named it"] if versions else [])
    return table(head, lines)


def _mapping(rows: list[Row], versions: dict[str, str], too_common: dict[str, set[str]]) -> str:
    healthy = [row for row in rows if row.case.kind == "healthy"]
    lines = []
    for name in versions:
        met = {kind for row in rows for kind in row.rivals[name].kinds}
        for kind in [*KINDS[name], *sorted(met - set(KINDS[name]))]:
            meant, times = kind_of(name, kind), sum(kind in row.rivals[name].kinds for row in healthy)
            lines.append([
                name, kind, meant.says, ", ".join(meant.codes) or "-", "yes" if meant.alarm else "no",
                f"{times} of {len(healthy)}" + (" (too often)" if kind in too_common[name] else ""),
            ])  # fmt: skip
    return table(("package", "kind of message", "meaning", "codes", "alarm", "raised on healthy scripts"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=lambda given: Path(given).resolve(), help="the folder of the other packages")
    parser.add_argument("--without-rivals", action="store_true")
    parser.add_argument("--parts", default=["tuned", "untouched"], type=lambda given: given.split(","))
    parser.add_argument("--seeds", default=[0, 1, 2], type=lambda given: [int(seed) for seed in given.split(",")])
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--cache", metavar="FOLDER")
    parser.add_argument("--times", action="store_true", help="run the bare scripts, too, for ratios of seconds")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.rivals is None and not asked.without_rivals:
        parser.error("give --rivals FOLDER (see doctor_rivals.py) or --without-rivals")
    versions = {} if asked.without_rivals else versions_in(asked.rivals)
    for name in TOOLS:
        unknown = {code for kind in KINDS[name].values() for code in kind.codes} - set(rules())
        if unknown:
            parser.error(f"{name} is mapped to codes that no rule has: {', '.join(sorted(unknown))}")
        if name not in versions and not asked.without_rivals:
            print(f"{name} isn't in the folder: left out")
    torch.set_num_threads(1)
    cases = [
        case for case in bed.cases()
        if case.part in asked.parts
        and (not asked.only or any(name in case.name or name == case.code for name in asked.only))
    ]  # fmt: skip
    if not cases:
        parser.error("no such script")
    cache = Cache(asked.cache)
    rows = run_all(asked, cases, versions, cache)
    text = written(asked, rows, versions, cache.used)
    if asked.only and asked.out is None:
        print(text)
    else:
        (asked.out or HERE / "doctor.md").write_text(text)


if __name__ == "__main__":
    main()
