"""The head of a run's report: its name and state, the result beside its baselines, and the verdict."""

from __future__ import annotations

import math
from typing import Any

from gradus.reports import charts
from gradus.reports.html import Section, facts, figure, table, text
from gradus.reports.record import Record
from gradus.reports.words import Words
from gradus.tasks import TASKS

SPLITS = ("test", "valid", "train")  # the first that a run has is the one that it is judged by
LOWER_IS_BETTER = {"loss", "rmse", "mae", "calibration_error", "perplexity", "bits_per_char", "bits_per_byte", "mase"}
KNOWN = {
    "recipe", "task", "run", "device", "precision", "engine", "parameters", "steps", "samples", "rows", "epochs",
    "stopped", "weights", "seconds", "samples_per_second", "metrics", "primary", "baseline", "findings", "versions",
    "resumed", "cross_validation", "skipped",
}  # fmt: skip


def masthead(record: Record, words: Words) -> Section:
    """The name of the run, where it stands, and what anyone would ask first."""
    config, summary = record.config, record.summary
    state = "running" if record.live else "finished" if summary else "unfinished"
    model = (config["model"] or {}).get("name") or words("own_code")
    pairs = [
        (words("recipe"), text(config["recipe"] or words("own_code"))),
        (words("data"), text(config["data"]["description"])),
    ]
    if summary:
        model += ", " + words("parameters", count=f"{summary['parameters']:,}")
    pairs.append((words("model"), text(model)))
    pairs.append(
        (words("device"), text(f"{config['chosen']['device']['value']}, {config['chosen']['precision']['value']}"))
    )
    pairs.append((words("begun"), text(config["begun"][:16].replace("T", " "))))
    if summary:
        pairs.append((words("took"), text(words("seconds", value=f"{summary['seconds']['total']:.1f}"))))
        if summary["stopped"] != "the budget is spent":
            pairs.append((words("ended"), text(summary["stopped"])))
        pairs.append((words("weights"), text(_weights(summary["weights"], words))))
        if summary.get("skipped"):
            pairs.append((words("skipped"), text(words("updates", count=f"{summary['skipped']:,}"))))
    resumed = config.get("resumed")
    if resumed:
        pairs.append((words("resumed"), text(", ".join(f"{step:,}" for step in resumed))))
    body = (
        f'<header><p class="kind">Gradus · {text(words("report_of"))}'
        f'<span class="state {state}">{text(words(state))}</span></p>'
        f"<h1>{text(record.name)}</h1>{_progress(record, words)}{facts(pairs)}</header>"
    )
    return Section("masthead", "", body)


def result(record: Record, words: Words) -> Section | None:
    """The metric that the run is judged by, large, beside its baselines, and then all metrics."""
    summary = record.summary
    if summary is None:
        return None
    split = next(s for s in SPLITS if s in summary["metrics"])
    primary, ours = summary["primary"], summary["metrics"][split]
    rows = summary["rows"][split]
    lead = words("on_rows", metric=primary, rows=f"{rows:,}", split=words(split))
    body = f'<div class="lead"><p class="big">{text(figure(ours[primary]))}</p><p>{text(lead)}</p></div>'
    beside = summary["baseline"] if split == "test" else {}
    body += (
        _dots(primary, ours, beside, rows, summary["task"], words)
        if beside
        else f"<p>{text(words('no_baselines'))}</p>"
    )
    columns = [(words(s), summary["metrics"][s]) for s in SPLITS[::-1] if s in summary["metrics"]]
    columns += [(words.term(name), scores) for name, scores in beside.items()]
    lines = [
        [text(name), *(text(figure(scores[name])) if name in scores else "–" for _, scores in columns)] for name in ours
    ]
    body += f"<h3>{text(words('all_metrics'))}</h3>"
    body += table(
        [words("metric"), *(name for name, _ in columns)], lines, numbers=range(1, len(columns) + 1), kind="figures"
    )
    body += _folds(summary.get("cross_validation"), words)
    noted = [(key, text(figure(value))) for key, value in summary.items() if key not in KNOWN and _is_plain(value)]
    if noted:
        body += f"<h3>{text(words('noted'))}</h3>{facts(noted)}"
    return Section("result", words("result"), body)


def verdict(record: Record, words: Words) -> Section | None:
    """What the doctor found: verdict, evidence, cause and one thing to change."""
    if record.accident is not None:
        found = record.accident
        title = words("accident", step=f"{found['step']:,}", value=found["value"], where=found["where"])
        pairs = [(words("cause"), text(found["cause"])), (words("change"), text(found["change"]))]
        if found["samples"]:
            shown = ", ".join(map(str, found["samples"][:20])) + (", …" if len(found["samples"]) > 20 else "")
            told = words("of_batch", count=len(found["samples"]), batch=found["batch"], shown=shown)
            pairs.insert(0, (words("evidence"), text(told)))
        return Section(
            "verdict", words("verdict"), f'<article class="finding"><h3>{text(title)}</h3>{facts(pairs)}</article>'
        )
    if record.summary is None:
        return None
    body = ""
    levels = {
        level: f'<span class="quiet"> · {text(told)}</span>'
        for level, told in (("fault", words("fault")), ("likely", words("likely")), ("note", words("note")))
    }
    for finding in record.summary["findings"]:
        said = finding.get("zh", finding) if words.lang == "zh" else finding
        pairs = [(words(key), text(said[key])) for key in ("evidence", "cause", "change") if key in said]
        if finding.get("explains"):
            pairs.append((words("explains"), text(", ".join(finding["explains"]))))
        level = levels.get(finding.get("level", ""), "")
        body += f'<article class="finding"><h3>{text(said.get("verdict", ""))}{level}</h3>{facts(pairs)}</article>'
    nothing = words("no_findings" if record.examined else "not_examined")
    return Section("verdict", words("verdict"), body or f'<p class="quiet">{text(nothing)}</p>')


def standard_error(metric: str, value: float | None, rows: int) -> float:
    """How far an accuracy, or a root mean square, of so many rows moves by chance; 0 where it isn't known."""
    if value is None or rows < 1:
        return 0.0
    if metric == "accuracy":
        return math.sqrt(value * (1 - value) / rows)
    return value / math.sqrt(2 * rows) if metric == "rmse" else 0.0


def _progress(record: Record, words: Words) -> str:
    if record.summary and not record.live:
        return ""
    step, total = record.step, record.total_steps
    share = 100 * step / max(total, 1)
    told = words("step_of" if record.live else "go_on", step=f"{step:,}", total=f"{total:,}")
    if record.live and record.losses:
        told += f" · {words('loss').lower()} {figure(record.losses[-1]['loss'])}"
    command = "" if record.live else f"<code>gradus resume {text(record.path)}</code> {text(words('so_far'))}"
    return f'<div class="progress"><i style="width:{share:.1f}%"></i></div><p class="where">{text(told)} {command}</p>'


def _weights(told: str, words: Words) -> str:
    step = told.partition("of step ")[2]
    if step:
        return words("weights_best", step=step)
    return words("weights_average" if "averaged" in told else "weights_last")


def _dots(
    primary: str, ours: dict[str, Any], others: dict[str, dict[str, Any]], rows: int, task: str, words: Words
) -> str:
    """A row for the run and for each baseline, a dot where its figure lies; the run's with one standard error."""
    found = [(words("this_run"), charts.number(ours[primary]))]
    found += [(words.term(name), charts.number(scores.get(primary))) for name, scores in others.items()]
    known = [v for _, v in found if v is not None]
    if not known:
        return ""
    higher = TASKS[task].higher_is_better
    error = standard_error(primary, found[0][1], rows)
    least, most = min(known) - error, max(known) + error
    room = 0.06 * (most - least) or abs(most) or 1.0
    least, most = least - room, most + room
    lines = ""
    for place_, (name, value) in enumerate(found):
        mine = place_ == 0
        mark = ""
        if value is not None:
            at = 100 * (value - least) / (most - least)
            wide = 100 * error / (most - least) if mine else 0.0
            spread = f'<s style="left:{at - wide:.2f}%;width:{2 * wide:.2f}%"></s>' if mine and wide else ""
            mark = f'{spread}<i style="left:{at:.2f}%"></i>'
        told = figure(value if value is not None else "nan") + (f" ± {figure(error)}" if mine and error else "")
        lines += (
            f'<div class="{"ours" if mine else "other"}"><span>{text(name)}</span><span class="track">{mark}</span>'
            f'<span class="num">{text(told)}</span></div>'
        )
    note = words("higher" if higher else "lower")
    if error:
        note += words("then") + words("standard_error", rows=f"{rows:,}")
    return f'<div class="dots">{lines}</div><p class="small">{text(primary)}: {text(note)}</p>'


def _folds(found: dict[str, Any] | None, words: Words) -> str:
    if not found:
        return ""
    baseline = found.get("baseline", {})
    rows = [
        [
            text(name),
            text(f"{figure(v['mean'])} ± {figure(v['sd'])}"),
            *(text(figure(s.get(name, "–"))) for s in baseline.values()),
        ]
        for name, v in found.items()
        if isinstance(v, dict) and "mean" in v
    ]
    header = [words("metric"), words("mean_sd"), *map(words.term, baseline)]
    title = words("folds", folds=found["folds"])
    return f"<h3>{text(title)}</h3>{table(header, rows, numbers=range(1, len(header)), kind='figures')}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)
