"""The sections that show rows: confusion or residuals, the worst mistakes, and samples as the model sees them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gradus.reports import charts, texts
from gradus.reports.html import Section, figure, passage, picture, place, table, text, values
from gradus.reports.record import Record
from gradus.reports.words import Words

MAX_LEAST_SURE = 8
MAX_SAMPLE_ROWS = 6
MAX_ROWS = 8  # that are shown; the others are folded away


def errors(record: Record, words: Words) -> Section | None:
    """The confusion matrix of classes, or the residuals of numbers."""
    kind = (record.evidence or {}).get("kind")
    if kind == "classes":
        return _confusion(record, words)
    return _residuals(record, words) if kind == "numbers" else None


def worst(record: Record, words: Words) -> Section | None:
    """The rows that the model is most wrong about; where it is right about most, those that it is least sure of."""
    if record.summary and record.evidence is None:
        return Section("worst", words("worst"), f'<p class="quiet">{text(words("old_run"))}</p>')
    found: dict[str, Any] = record.evidence or {}
    mistakes = found.get("mistakes")
    if not mistakes:
        return None
    if found["kind"] == "numbers":
        return Section("worst", words("worst"), _entries(record, mistakes, "mistakes", words), words("worst_note"))
    wrong = [m for m in mistakes if m["wrong"]]
    right = [m for m in mistakes if not m["wrong"]][:MAX_LEAST_SURE]
    none = words("no_mistakes", rows=f"{found['rows']:,}", split=words(found["split"]))
    body = _entries(record, wrong, "mistakes", words) if wrong else f"<p>{text(none)}</p>"
    if right and len(wrong) < MAX_LEAST_SURE:
        body += f"<h3>{text(words('least_sure'))}</h3>{_entries(record, right, 'mistakes', words)}"
    return Section("worst", words("worst"), body, words("worst_note"))


def samples(record: Record, words: Words) -> Section | None:
    """The first training batch as the model sees it."""
    found = (record.evidence or {}).get("samples")
    if not found:
        return None
    pictures = record.arrays.get("samples")
    if pictures is None:
        body = _entries(record, found[:MAX_SAMPLE_ROWS], "samples", words)
        note = words("samples_tokens" if "texts" in found[0] else "samples_rows")
        return Section("samples", words("samples"), body, note)
    cells = "".join(
        f"<figure>{picture(pixels, entry['true'])}<figcaption>{text(entry['true'])}</figcaption></figure>"
        for entry, pixels in zip(found, pictures, strict=True)
    )
    return Section("samples", words("samples"), f'<div class="strip">{cells}</div>', words("samples_note"))


def _confusion(record: Record, words: Words) -> Section:
    assert record.evidence is not None
    labels, counts = record.evidence["labels"], record.arrays["confusion"]
    note = words("confusion_note", split=words(record.evidence["split"]))
    body = _undefined(record, words)
    if len(labels) > charts.MAX_CLASSES:
        wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
        some = wrong.topk(charts.MAX_CLASSES).indices.sort().values
        body += f"<p>{text(words('confusion_some', shown=len(some), all=len(labels)))}</p>"
        labels, counts = [labels[i] for i in some.tolist()], counts[some][:, some]
    chart = charts.confusion(counts, labels, words)
    drawn = place("confusion", chart, label=words("confusion"))
    body += f'<div class="beside">{drawn}{_by_class(counts, labels, words)}</div>'
    body += texts.confusions(record, words)
    return Section("confusion", words("confusion"), body, note, {"confusion": chart})


def _by_class(counts: Tensor, labels: list[str], words: Words) -> str:
    """Rows, recall and precision of each class."""
    true, said, right = counts.sum(1).tolist(), counts.sum(0).tolist(), counts.diagonal().tolist()
    rows = [
        [text(label), f"{true[i]:,}", _share(right[i], true[i]), _share(right[i], said[i])]
        for i, label in enumerate(labels)
    ]
    header = [words("class"), words("rows"), words("recall"), words("precision")]
    shown = table(header, rows, numbers=(1, 2, 3), kind="tight")
    return f'<div>{shown}<p class="small">{text(words("found_note"))}</p></div>'


def _residuals(record: Record, words: Words) -> Section:
    assert record.evidence is not None
    true, predicted = record.arrays["true"], record.arrays["predicted"]
    drawn = {
        "residuals": charts.predicted_against_true(true, predicted, words),
        "histogram": charts.residual_histogram(true, predicted, words),
    }
    both = place("residuals", drawn["residuals"], words("against"))
    both += place("histogram", drawn["histogram"], words("difference"))
    note = words("residuals_note", split=words(record.evidence["split"]))
    return Section(
        "residuals", words("residuals"), f'{_undefined(record, words)}<div class="pair">{both}</div>', note, drawn
    )


def _entries(record: Record, entries: list[dict[str, Any]], name: str, words: Words) -> str:
    """Rows as pictures in a grid, or as lines of their values."""
    assert record.evidence is not None
    pictures = record.arrays.get(name)
    everyone = record.evidence[name]
    out: list[str] = []
    for entry in entries:
        number = f"{entry['row']:,}"
        row = f'<span class="quiet">{text(words("row", row=number))}</span>'
        told = _answer(entry)
        if pictures is not None:
            drawn = picture(pictures[everyone.index(entry)], f"{entry['true']}")
            out.append(f"<figure>{drawn}<figcaption>{told}{row}</figcaption></figure>")
        else:
            shown = _content(entry, words)
            out.append(f'<li><div class="answer">{told}{row}</div>{shown}</li>')
    if pictures is not None:
        return f'<div class="grid">{"".join(out)}</div>'
    rest = "".join(out[MAX_ROWS:])
    summary = f"<summary>{text(words('more_rows', count=len(out) - MAX_ROWS))}</summary>"
    folded = f'<details>{summary}<ol class="rows">{rest}</ol></details>' if rest else ""
    return f'<ol class="rows">{"".join(out[:MAX_ROWS])}</ol>{folded}'


def _content(entry: dict[str, Any], words: Words) -> str:
    """What a row holds: its texts and the tokens that were seen of them, or its values."""
    if "texts" in entry:
        return f"<div>{passage(entry['texts'], words('more_text'))}{texts.seen(entry, words)}</div>"
    return values(entry.get("values", {}), words("missing"), words("more_values"))


def _answer(entry: dict[str, Any]) -> str:
    """What a row is and what was said of it."""
    if "true" not in entry:
        return ""
    if "predicted" not in entry:
        return f"<b>{text(entry['true'])}</b>"
    if "probabilities" not in entry:
        return f"<b>{text(figure(entry['true']))}</b> → <b class='said'>{text(figure(entry['predicted']))}</b>"
    kind = "said" if entry["wrong"] else "right"
    said = f"<b>{text(entry['true'])}</b> → <b class='{kind}'>{text(entry['predicted'])}</b>"
    ranked = "".join(
        f'<span class="chance"><i style="width:{100 * (charts.number(p) or 0.0):.0f}%"></i>'
        f"<em>{text(label)}</em><u>{text(f'{p:.2f}' if not isinstance(p, str) else p)}</u></span>"
        for label, p in list(entry["probabilities"].items())[: 1 if len(entry["probabilities"]) == 2 else 2]
    )
    return f"<span>{said}</span>{ranked}"


def _undefined(record: Record, words: Words) -> str:
    rows = (record.evidence or {}).get("undefined", 0)
    return f'<p class="alarm">{text(words("undefined", rows=f"{rows:,}"))}</p>' if rows else ""


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"
