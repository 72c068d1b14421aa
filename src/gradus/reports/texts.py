"""The sections that show texts: the data and their lengths, what the model wrote, its attention, what surprised it."""

from __future__ import annotations

from typing import Any

from gradus.reports import charts
from gradus.reports.html import Section, cut, place, table, text
from gradus.reports.record import Record
from gradus.reports.words import Words

MAX_CHECKS = 12  # of what was written while it learnt, that are shown
MAX_EXAMPLE = 120  # letters of a text in a table
HALF = 390  # pixels of half a page
FULL_SHADE = 12.0  # bits that a token costs, from which on it is shaded as strongly as can be


def data(record: Record, words: Words) -> Section | None:
    """What is worth telling of the data; of texts how long they are, and how much of the batches is padding."""
    notes = record.config["data"].get("notes", [])
    found: dict[str, Any] = record.evidence or {}
    told = found.get("lengths", [])
    drawn = {f"lengths-{i}": charts.lengths(one, words) for i, one in enumerate(told) if len(one["begins"]) > 1}
    if not notes and not told:
        return None
    body = f'<ul class="notes">{"".join(f"<li>{text(note)}</li>" for note in notes)}</ul>' if notes else ""
    plots = "".join(
        place(name, chart, words("lengths", name=told[int(name[-1])]["name"])) for name, chart in drawn.items()
    )
    body += f'<div class="pair">{plots}</div>' if plots else ""
    lines = [
        words("longest", name=one["name"], mean=f"{one['mean']:.1f}", longest=f"{one['longest']:,}")
        + (words("clipped", count=f"{one['clipped']:,}") if one["clipped"] else "")
        for one in told
    ]
    shares = found.get("padding", {"sorted": 0, "chance": 0})
    if shares["chance"]:
        values = {key: f"{100 * share:.2g} %" for key, share in shares.items()}
        lines.append(words("padding", **values))
    body += f'<p class="small">{"<br>".join(map(text, lines))}</p>' if lines else ""
    return Section("data", words("the_data"), body, charts=drawn)


def learnt(record: Record, words: Words) -> Section | None:
    """What the model wrote at some of the checks, from the first to the last."""
    if not record.samples:
        return None
    last = len(record.samples) - 1
    checks = [record.samples[i] for i in sorted({round(i * last / (MAX_CHECKS - 1)) for i in range(MAX_CHECKS)})]
    asked = record.samples[0]["samples"]
    lines = ""
    if "source" in asked[0]:  # a text that is answered again and again: step by step
        for place, one in enumerate(asked):
            told = _said(words("reference"), one["true"], kind="right")
            told += "".join(_said(_step(check, words), check["samples"][place]["text"]) for check in checks)
            lines += f'<li><div class="answer"><b dir="auto">{text(one["source"])}</b></div><div>{told}</div></li>'
    else:
        for check in checks:
            told = "".join(_said(_heat(one["temperature"], words), one["text"]) for one in check["samples"])
            lines += f'<li><div class="answer"><b>{text(_step(check, words))}</b></div><div>{told}</div></li>'
    note = words("learnt_answers" if "source" in asked[0] else "learnt_note")
    return Section("learnt", words("learnt"), f'<ol class="rows texts">{lines}</ol>', note)


def answers(record: Record, words: Words) -> Section | None:
    """Texts with what the model answered: the best, middling and worst ones."""
    found = (record.evidence or {}).get("answers")
    if not found:
        return None
    body = ""
    titles = {"best": words("answers_best"), "middle": words("answers_middle"), "worst": words("answers_worst")}
    for group, title in titles.items():
        lines = "".join(_answer(entry, words) for entry in found if entry["group"] == group)
        body += f'<h3>{text(title)}</h3><ol class="rows texts">{lines}</ol>' if lines else ""
    assert record.evidence is not None
    note = words("answers_note", split=words(record.evidence["split"]))
    return Section("answers", words("answers"), body, note)


def attention(record: Record, words: Words) -> Section | None:
    """Where the model looked as it wrote, for a few of the answers."""
    found = [entry for entry in (record.evidence or {}).get("answers", []) if "attention" in entry]
    if not found:
        return None
    titles = [f"{next(iter(entry['texts'].values()))} → {entry['said']}" for entry in found]
    return attention_section(found, titles, words)


def attention_section(entries: list[dict[str, Any]], titles: list[str], words: Words) -> Section:
    """Pictures of attention, one for each entry of "attention", "tokens" and "source_tokens"."""
    drawn = {f"attention-{i}": charts.attention(entry) for i, entry in enumerate(entries)}
    shown = [
        (chart["widths"][0], place(name, chart, title))
        for (name, chart), title in zip(drawn.items(), titles, strict=True)
    ]
    pictures = "".join(f'<div class="across">{one}</div>' if least > HALF else one for least, one in shown)
    return Section(
        "attention", words("attention"), f'<div class="pair">{pictures}</div>', words("attention_note"), drawn
    )


def written(record: Record, words: Words) -> Section | None:
    """What the model makes of beginnings, at each temperature, beside how they really go on."""
    found = (record.evidence or {}).get("written")
    if not found:
        return None
    lines = ""
    for entry in found:
        begun = entry["begun"]
        told = _said(words("true"), entry["true"], begun, "right") if entry["true"] else ""
        told += "".join(_said(_heat(float(heat), words), goes_on, begun) for heat, goes_on in entry["said"].items())
        row = _row(entry, words) if "row" in entry else ""
        head = f"<b>{text(begun)}</b>" if begun else f"<b>{text(words('from_nothing'))}</b>"
        lines += f'<li><div class="answer"><span dir="auto">{head}</span>{row}</div><div>{told}</div></li>'
    return Section("written", words("written"), f'<ol class="rows texts">{lines}</ol>', words("written_note"))


def surprises(record: Record, words: Words) -> Section | None:
    """Texts shaded by what each token cost, and the tokens that cost most in all."""
    found = record.evidence or {}
    if not found.get("costly"):
        return None
    shaded = ""
    for entry in found["shaded"]:
        tokens = "".join(_shade(token, bits, words) for token, bits in entry["pieces"])
        head = words("bits_each", bits=f"{entry['mean']:.2f}")
        shaded += (
            f'<li><div class="answer"><b>{text(head)}</b>{_row(entry, words)}</div>'
            f'<p class="shaded" dir="auto">{tokens}{"…" if entry["more"] else ""}</p></li>'
        )
    rows = [
        [text(visible(one["token"], words)), f"{one['count']:,}", f"{one['mean']:.2f}",
         f"{100 * one['share']:.1f} %"]
        for one in found["costly"]
    ]  # fmt: skip
    header = [words("token"), words("how_often"), words("bits"), words("share_of_bits")]
    half = -(-len(rows) // 2)
    tables = "".join(
        f"<div>{table(header, part, numbers=(1, 2, 3), kind='tight')}</div>"
        for part in (rows[:half], rows[half:])
        if part
    )
    body = f'<ol class="rows">{shaded}</ol><h3>{text(words("costly"))}</h3><div class="pair">{tables}</div>'
    note = words("surprises_note", rows=f"{found['costly_rows']:,}", split=words(found["split"]))
    return Section("surprises", words("surprises"), body, note)


def tagged(record: Record, words: Words) -> Section | None:
    """Texts with their labels, token by token, and what was said of each."""
    found = (record.evidence or {}).get("tagged")
    if not found:
        return None
    lines = ""
    for entry in found:
        cells = "".join(
            f"<span><i>{text(visible(token, words))}</i><u>{text(label)}</u>"
            f'<b class="{"right" if label == said else "said"}">{text(said)}</b></span>'
            for token, label, said in zip(entry["tokens"], entry["labels"], entry["said"], strict=True)
        )
        count = words("wrong_labels", count=f"{entry['wrong']:,}")
        lines += (
            f'<li><div class="answer"><b>{text(count)}</b>{_row(entry, words)}</div>'
            f'<div class="aligned">{cells}</div></li>'
        )
    return Section("tagged", words("tagged"), f'<ol class="rows">{lines}</ol>', words("tagged_note"))


def confusions(record: Record, words: Words) -> str:
    """The classes that are most often taken for one another, with an example of each."""
    found = (record.evidence or {}).get("confusions")
    if not found:
        return ""
    rows = [
        [
            f'{text(entry["true"])} → <span class="said">{text(entry["predicted"])}</span>',
            f"{entry['count']:,}",
            f"{100 * entry['share']:.1f} %",
            f'<span dir="auto">{text(cut(" · ".join(entry["texts"].values()), MAX_EXAMPLE))}</span>',
        ]
        for entry in found
    ]
    header = [f"{words('true')} → {words('predicted')}", words("rows"), words("of_class"), words("example")]
    return f"<h3>{text(words('confusions'))}</h3>{table(header, rows, numbers=(1, 2), kind='examples')}"


def seen(entry: dict[str, Any], words: Words) -> str:
    """The tokens that the model sees of a text."""
    out = ""
    for name, tokens in entry.get("tokens", {}).items():
        cells = "".join(
            f'<span title="{text(words("pieces", count=count))}">{text(visible(token, words))}'
            f"{f'<sub>{count}</sub>' if count > 1 else ''}</span>"
            for token, count in tokens
        )
        more = entry["more_tokens"][name]
        out += f'<div class="tokens">{cells}{text(words("more_values", count=more)) if more else ""}</div>'
    return out


def visible(token: str, words: Words) -> str:
    """A token as it can be seen: a blank and a line's end by a sign, a piece of a character by name."""
    if "\ufffd" in token:
        return words("part")
    return charts.shown(token)


def _answer(entry: dict[str, Any], words: Words) -> str:
    source, reference = entry["texts"].values()
    score = f"chrF {entry['chrf']:.1f}"
    told = _said(words("source"), source) + _said(words("reference"), reference) + _said(words("said"), entry["said"])
    head = f'<div class="answer"><b>{text(score)}</b>{_row(entry, words)}</div>'
    return f"<li>{head}<div>{told}</div></li>"


def _row(entry: dict[str, Any], words: Words) -> str:
    return f'<span class="quiet">{text(words("row", row=format(entry["row"], ",")))}</span>'


def _said(tag: str, said: str, begun: str = "", kind: str = "") -> str:
    """A text with what it is in front, its given beginning marked off."""
    given = f'<em class="begun">{text(begun)}</em>' if begun else ""
    return f'<p class="saying {kind}"><i>{text(tag)}</i><span dir="auto">{given}{text(said) or "–"}</span></p>'


def _heat(temperature: float, words: Words) -> str:
    return words("temperature", value=f"{temperature:g}")


def _step(check: dict[str, Any], words: Words) -> str:
    return words("step_number", step=f"{check['step']:,}")


def _shade(token: str, bits: Any, words: Words) -> str:
    cost = charts.number(bits)
    strength = 100 * min(1.0, (cost or 0.0) / FULL_SHADE)
    told = text(words("costs", bits="?" if cost is None else f"{cost:.1f}"))
    end = token.strip() == "<eos>"
    return f'<span title="{told}" style="--cost:{strength:.0f}%">{"⏎" if end else text(token)}</span>'
