"""Runs beside one another: what differs in their settings, their metrics, their curves on one axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradus.reports import charts
from gradus.reports.html import Section, figure, place, slider, table, text
from gradus.reports.overview import LOWER_IS_BETTER, SPLITS
from gradus.reports.page import document, write_page
from gradus.reports.record import Record, read_record
from gradus.reports.words import Words
from gradus.training.rundir import RunDirectory

NOT_COMPARED = {"out", "name", "quiet", "resume", "log_every", "save_every"}  # they change nothing that is learnt


def read_runs(paths: list[str]) -> dict[str, Record]:
    """The runs by their shortest names that tell them apart.

    Raises:
        UserError: where a path is no run.
    """
    records = [read_record(RunDirectory.open(path)) for path in paths]
    names = [record.name for record in records]
    return {r.name if names.count(r.name) == 1 else str(r.path): r for r in records}


def compared(runs: dict[str, Record]) -> dict[str, Any]:
    """What the comparison comes to, as plain values: what ``gradus compare --json`` prints.

    Returns:
        ``{"runs": {name: {"state", "steps", "seconds"}}, "same_data", "metrics": {split: {metric: {name: value}}},
        "best": {split: {metric: [names]}}, "differences": {setting: {name: value}}}``.
    """
    metrics: dict[str, dict[str, dict[str, Any]]] = {}
    for split in SPLITS:
        for name, record in runs.items():
            for metric, value in ((record.summary or {}).get("metrics", {}).get(split) or {}).items():
                metrics.setdefault(split, {}).setdefault(metric, {})[name] = value
    return {
        "runs": {
            name: {
                "path": str(record.path),
                "state": "finished" if record.summary else "unfinished",
                "steps": record.step,
                "seconds": record.summary["seconds"]["total"] if record.summary else None,
            }
            for name, record in runs.items()
        },
        "same_data": len({record.config["data"]["fingerprint"] for record in runs.values()}) == 1,
        "metrics": metrics,
        "best": {
            split: {metric: best(metric, values) for metric, values in found.items()}
            for split, found in metrics.items()
        },
        "differences": differences(runs),
    }


def best(metric: str, values: dict[str, Any]) -> list[str]:
    """The runs with the best value of a metric; none where only one run has it, or all are alike."""
    known = {name: n for name, value in values.items() if (n := charts.number(value)) is not None}
    if len(known) < 2 or len(set(known.values())) == 1:
        return []
    goal = (min if metric in LOWER_IS_BETTER else max)(known.values())
    return [name for name, value in known.items() if value == goal]


def differences(runs: dict[str, Record]) -> dict[str, dict[str, Any]]:
    """The settings that are not alike in all runs: setting → run → value."""
    settings = {name: _settings(record) for name, record in runs.items()}
    keys = dict.fromkeys(key for found in settings.values() for key in found)
    return {
        key: {name: found.get(key) for name, found in settings.items()}
        for key in keys
        if len({repr(found.get(key)) for found in settings.values()}) > 1
    }


def write_comparison(runs: dict[str, Record], out: Path, lang: str) -> None:
    """Write the comparison as one HTML page.

    Raises:
        UserError: where ``out`` can't be written.
    """
    words, found = Words(lang), compared(runs)
    title = words("compare", count=len(runs))
    parts = [_head(title, words), _runs(found, words), _differences(found, words), *_metrics(found, words)]
    parts += _curves(runs, words)
    write_page(out, document(title, parts, words))


def _settings(record: Record) -> dict[str, Any]:
    config = record.config
    found: dict[str, Any] = {"recipe": config["recipe"], "data": config["data"]["description"]}
    found["model"] = config["model"]["name"] if config["model"] else None
    for part in ("recipe_settings", "settings"):
        found |= {key: entry["value"] for key, entry in config.get(part, {}).items() if key not in NOT_COMPARED}
    found |= {f"{key} (chosen)": entry["value"] for key, entry in config["chosen"].items()}
    found |= {f"{key} (version)": value for key, value in config["versions"].items()}
    return found


def _head(title: str, words: Words) -> Section:
    return Section("masthead", "", f'<header><p class="kind">Gradus</p><h1>{text(title)}</h1></header>')


def _key(place_: int) -> str:
    """The colour of a run's curves."""
    return f'<i class="key" style="color:var({charts.SERIES[place_ % len(charts.SERIES)]})"></i>'


def _runs(found: dict[str, Any], words: Words) -> Section:
    rows = [
        [
            f"{_key(number)}{text(name)}",
            text(words(run["state"])),
            f"{run['steps']:,}",
            "–" if run["seconds"] is None else f"{run['seconds']:.1f}",
        ]
        for number, (name, run) in enumerate(found["runs"].items())
    ]
    header = [words("run"), words("state"), words("steps_taken"), words("seconds_taken")]
    note = "" if found["same_data"] else f'<p class="alarm">{text(words("other_data"))}</p>'
    return Section("runs", words("runs"), note + table(header, rows, numbers=(2, 3)))


def _metrics(found: dict[str, Any], words: Words) -> list[Section]:
    names = list(found["runs"])
    body = ""
    for split, metrics in found["metrics"].items():
        rows = []
        for metric, values in metrics.items():
            cells = [text(figure(values[name])) if name in values else "–" for name in names]
            marked = found["best"][split][metric]
            label = text(words("best"))
            cells = [
                f'<span class="best" title="{label}">{cell}</span>' if name in marked else cell
                for name, cell in zip(names, cells, strict=True)
            ]
            rows.append([text(metric), *cells])
        body += f"<h3>{text(words(split))}</h3>"
        body += table([words("metric"), *names], rows, numbers=range(1, len(names) + 1), kind="figures")
    return [Section("metrics", words("metrics"), body, words("metrics_note"))] if body else []


def _differences(found: dict[str, Any], words: Words) -> Section:
    names = list(found["runs"])
    if not found["differences"]:
        return Section("differences", words("differences"), f'<p class="quiet">{text(words("no_differences"))}</p>')
    rows = [
        [f"<code>{text(key)}</code>", *("–" if values[name] is None else text(values[name]) for name in names)]
        for key, values in found["differences"].items()
    ]
    return Section("differences", words("differences"), table([words("setting"), *names], rows, kind="set"))


def _curves(runs: dict[str, Record], words: Words) -> list[Section]:
    """Training loss, validation loss and each validation metric, a curve a run."""
    validated = dict.fromkeys(name for r in runs.values() if r.checks for name in r.checks[-1]["valid"])
    wanted: list[tuple[str, str, str | None, str]] = [("train-loss", "loss", None, words("train_loss"))]
    for name in validated:
        wanted.append((f"valid-{name}", name, "valid", words("valid_loss") if name == "loss" else name))
    drawn, whole, small = {}, "", ""
    for chart_name, key, part, title in wanted:
        traces = []
        for number, (name, record) in enumerate(runs.items()):
            lines = [
                line for line in (record.checks if part else record.losses) if key in (line[part] if part else line)
            ]
            dash = ("solid", "dash", "dot")[number // len(charts.SERIES) % 3]
            if lines:
                traces.append(charts.curve(lines, key, name, charts.SERIES[number % 8], part=part, dash=dash))
        is_loss = key == "loss"
        chart = charts.over_steps(traces, words, 300 if is_loss else 190)
        drawn[chart_name] = chart if is_loss else charts.small(chart)
        drawn[chart_name]["layout"]["showlegend"] = False  # the table of runs shows the colours
        shown = place(chart_name, drawn[chart_name], title, log=words("log_scale") if is_loss else "")
        whole, small = (whole + shown, small) if is_loss else (whole, small + shown)
    body = slider(words("smoothing")) + whole + (f'<div class="pair">{small}</div>' if small else "")
    return [Section("curves", words("curves"), body, words("curves_note"), drawn)]
