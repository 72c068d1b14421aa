"""The sections of a run's report below its head, from the curves to the settings; each is there or None."""

from __future__ import annotations

from typing import Any

from gradus.reports import charts
from gradus.reports.html import Section, facts, place, slider, table, text
from gradus.reports.record import Record
from gradus.reports.words import Words


def curves(record: Record, words: Words) -> Section:
    """Training and validation loss, and a small chart of each validation metric."""
    if not record.losses:
        return Section("curves", words("curves"), f'<p class="quiet">{text(words("nothing_logged"))}</p>')
    drawn = {"loss": charts.loss(record, words)}
    body = slider(words("smoothing"))
    broken = charts.first_not_finite(record.losses, "loss")
    if broken is not None:
        body += f'<p class="alarm">{text(words("not_finite", step=f"{broken:,}", what=words("loss").lower()))}</p>'
    body += place("loss", drawn["loss"], words("loss"), log=words("log_scale"))
    names = [name for name in (record.checks[-1]["valid"] if record.checks else {}) if name != "loss"]
    small = ""
    for name in names:
        drawn[f"metric-{name}"] = charts.metric(record, name, words)
        small += place(f"metric-{name}", drawn[f"metric-{name}"], name)
    body += f'<div class="pair">{small}</div>' if small else ""
    return Section("curves", words("curves"), body, words("curves_note"), drawn)


def steps(record: Record, words: Words) -> Section | None:
    """The learning rate and the norm of the gradient over the steps."""
    if not record.losses:
        return None
    drawn = {"lr": charts.learning_rate(record, words)}
    body = place("lr", drawn["lr"], words("lr"))
    if any(line.get("grad_norm") is not None for line in record.losses):
        drawn["gradient"] = charts.gradient(record, words)
        clipped = record.config["settings"]["clip"]["value"] is not None
        body += place(
            "gradient", drawn["gradient"], words("grad_norm") + (f", {words('before_clipping')}" if clipped else "")
        )
    return Section("steps", words("steps"), f'<div class="pair">{body}</div>', words("steps_note"), drawn)


def figures(record: Record, words: Words) -> list[Section]:
    """The pictures that the recipe drew itself."""
    out = []
    for drawing in record.figures:
        name = f"figure-{drawing['name']}"
        height = drawing["layout"].get("height") or 420
        chart = {
            "data": drawing["data"],
            "layout": {**drawing["layout"], "height": None, "width": None},
            "height": height,
        }
        out.append(
            Section(name, drawing["title"], place(name, chart, label=drawing["title"]), drawing["note"], {name: chart})
        )
    return out


def layers(record: Record, words: Words) -> Section | None:
    """The model's layers with their output shapes and parameters."""
    found = (record.evidence or {}).get("layers")
    if not found:
        return None
    rows = [
        [
            f"<code>{text(r['name'])}</code>",
            text(r["kind"]),
            text(" × ".join(map(str, r["shape"]))),
            f"{r['parameters']:,}",
        ]
        for r in found
    ]
    total = f"{(record.summary or {}).get('parameters', 0):,}"
    rows.append([f"<b>{text(words('total'))}</b>", "", "", f"<b>{total}</b>"])
    header = [words("layer"), words("kind"), words("shape"), words("parameter_count")]
    return Section("layers", words("layers"), table(header, rows, numbers=(2, 3)))


def seconds(record: Record, words: Words) -> Section | None:
    """Where the time went."""
    if record.summary is None:
        return None
    spent = {k: float(v) for k, v in record.summary["seconds"].items() if k != "total" and float(v) > 0}
    whole = sum(spent.values()) or 1.0
    bar = "".join(f'<i class="part-{k}" style="width:{100 * v / whole:.2f}%"></i>' for k, v in spent.items())
    legend = "".join(
        f'<li><i class="part-{k}"></i>{text(words(f"time_{k}"))} <b>{text(words("seconds", value=f"{v:.2f}"))}</b> '
        f"<span>{100 * v / whole:.0f} %</span></li>"
        for k, v in spent.items()
    )
    total, rate = record.summary["seconds"]["total"], record.summary["samples_per_second"]
    told = words("speed", total=f"{total:.1f}", rate=f"{rate:,.0f}")
    return Section("time", words("time"), f'<div class="bar">{bar}</div><ul class="legend">{legend}</ul>', told)


def settings(record: Record, words: Words) -> Section:
    """Every choice with its reason, and every setting with where it came from; the defaults are folded away."""
    config = record.config
    chosen = [[f"<code>{text(k)}</code>", text(c["value"]), text(c["reason"])] for k, c in config["chosen"].items()]
    every = {**config.get("recipe_settings", {}), **config["settings"]}

    def rows(default: bool) -> list[list[str]]:
        return [
            [f"<code>{text(name)}</code>", _setting(entry["value"], words), text(words.term(entry["from"]))]
            for name, entry in every.items()
            if (entry["from"] == "default") == default
        ]

    header = [words("setting"), words("value"), words("from")]
    body = f"<h3>{text(words('chosen'))}</h3>"
    body += table([words("setting"), words("value"), words("reason")], chosen, kind="set")
    body += f"<h3>{text(words('settings'))}</h3>"
    body += table(header, rows(False), kind="set") if rows(False) else ""
    folded = words("defaults", count=len(rows(True)))
    body += f"<details><summary>{text(folded)}</summary>{table(header, rows(True), kind='set')}</details>"
    made = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    body += facts(
        [
            (words("made_with"), text(made)),
            (words("fingerprint"), f"<code>{text(config['data']['fingerprint'][:16])}</code>"),
        ]
    )
    return Section("settings", words("settings"), body, words("settings_note"))


def _setting(value: Any, words: Words) -> str:
    if value is None:
        return f'<span class="quiet">{text(words("not_set"))}</span>'
    return text(", ".join(map(str, value)) if isinstance(value, list) else value)
