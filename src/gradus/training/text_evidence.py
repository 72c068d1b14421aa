"""What a report tells of texts, taken from data and model when a run is finished, as plain values that go to JSON.

How long they are; the tokens as the model sees them; what it answered, with its attention; what it writes and what
surprises it; which classes it takes for one another.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradus.data.ragged import Ragged
from gradus.data.sequences import TextDataset, TextLines, TextPairs, TextTags
from gradus.data.splits import some_rows
from gradus.data.tokens import IGNORE, Tokens
from gradus.models import apply
from gradus.tasks import NextToken, SequenceToSequence, Tagging
from gradus.training.evaluate import MAX_OUTPUTS
from gradus.training.prepare import Prepared
from gradus.training.step import autocast

ANSWERS, ATTENTIONS, BEGINNINGS, SHADED, TAGGED = 12, 4, 4, 5, 12  # texts that are shown of each kind
MEASURED = 96  # texts from which those that are shown are chosen
BINS = 60  # of a histogram
MAX_LETTERS = 2_000  # of a text that is kept
MAX_TOKENS, MAX_SHADED = 80, 240  # of a text that are kept one by one
COSTLY = 16  # tokens that are told to cost most
MAX_SIDE = 32  # tokens on either side of a picture of attention that can be read
TEMPERATURES = (0.5, 0.8, 1.0)
CLAUSE = re.compile(r"[,.;:!?\n，。；：！？、]")

Values = dict[str, Any]


def text_evidence(prepared: Prepared, rows: np.ndarray, outputs: Tensor, targets: Tensor) -> Values:
    """Whatever a report shows of texts beside mistakes and samples; nothing of other data.

    Args:
        rows: those that the run is judged by, with what the task kept of the model's outputs and of the targets.
    """
    data, task = prepared.data, prepared.task
    if not isinstance(data, TextDataset):
        return {}
    order = prepared.order
    value: Values = {
        "lengths": lengths(data),
        "padding": {"sorted": order.padding(), "chance": order.padding(sorted_by_length=False)},
    }
    able = hasattr(prepared.state.model, "advance")
    with torch.inference_mode():
        if isinstance(data, TextPairs) and isinstance(task, SequenceToSequence) and able:
            value["answers"] = _answers(prepared, data, task, rows)
        elif isinstance(data, TextLines) and isinstance(task, NextToken):
            value |= _surprises(prepared, data, rows)
            if able:
                value["written"] = _written(prepared, data, task, rows)
        elif isinstance(data, TextTags) and isinstance(task, Tagging):
            value["tagged"] = _tagged(prepared, data, task, rows, targets - outputs[:, 1])
    return value


def describe(data: TextDataset, entry: Values, *, tokens: bool = False) -> None:
    """Add to an entry that has a "row" its texts, and the tokens that the model sees of them where asked."""
    row = entry["row"]
    entry["texts"] = {name: shortened(text) for name, text in data.row_words(row).items()}
    if tokens:
        seen = [(data.tokens, data.source)]
        seen += [(data.reply, data.answers)] if isinstance(data, TextPairs) else []
        entry["tokens"] = {c.name: readable(c, ids[row][:MAX_TOKENS]) for c, ids in seen}
        entry["more_tokens"] = {c.name: max(0, len(ids[row]) - MAX_TOKENS) for c, ids in seen}


def confusions(
    labels: tuple[str, ...], probabilities: Tensor, said: Tensor, classes: Tensor, rows: np.ndarray, most: int = 8
) -> list[Values]:
    """The classes that are most often taken for one another, each with the row that the model was surest of.

    Args:
        probabilities: (rows, classes).
        said, classes: the class that the model says and the true one, (rows,).
    """
    surest = probabilities.nan_to_num(-1.0).gather(1, said[:, None])[:, 0]
    size = len(labels)
    pairs = classes * size + said
    wrong = (said != classes) & (surest >= 0)
    counts = torch.bincount(pairs[wrong], minlength=size * size)
    whole = torch.bincount(classes, minlength=size)
    out = []
    for pair in counts.topk(min(most, size * size)).indices.tolist():
        if counts[pair] == 0:
            break
        true, other = divmod(pair, size)
        example = int(surest.masked_fill(pairs != pair, -1.0).argmax())
        count = int(counts[pair])
        out.append(
            {
                "true": labels[true],
                "predicted": labels[other],
                "count": count,
                "share": count / int(whole[true]),
                "row": int(rows[example]),
                "probability": float(surest[example]),
            }
        )
    return out


def lengths(data: TextDataset) -> list[Values]:
    """How many texts of each split are of which length in tokens, (bins,) each; the last bin holds all longer ones."""
    out = []
    answers = [(data.reply.name, data.answers)] if isinstance(data, TextPairs) else []
    for name, texts in [(data.tokens.name, data.source), *answers]:
        found = texts.lengths
        common = int(np.quantile(found, 0.995))
        width = max(1, math.ceil((common + 1) / BINS))
        edges = np.arange(0, common + width + 1, width)
        shown = np.minimum(found, edges[-1] - 1)
        counts = {
            split: np.histogram(shown[rows], bins=edges)[0].tolist() for split, rows in data.splits.items() if len(rows)
        }
        first = int(np.argmax(np.sum(list(counts.values()), axis=0) > 0))
        out.append(
            {
                "name": name,
                "width": width,
                "begins": edges[first:-1].tolist(),
                "counts": {split: values[first:] for split, values in counts.items()},
                "mean": float(found.mean()),
                "longest": int(found.max()),
                "clipped": int((found >= edges[-1]).sum()),
            }
        )
    return out


def beginning(text: str) -> str:
    """How a text begins: its first clause, else about a third of it at the end of a word."""
    clause = CLAUSE.search(text)
    if clause and 2 <= clause.end() <= min(40, 2 * len(text) // 3):
        return text[: clause.end()]
    third = min(40, max(1, len(text) // 3))
    blank = text.rfind(" ", 1, third + 1)
    return text[: blank if blank > 0 else third]


def readable(column: Tokens, ids: np.ndarray) -> list[tuple[str, int]]:
    """Tokens as text, those that are parts of one character together: each text with how many tokens it is."""
    out: list[tuple[str, int]] = []
    held: list[int] = []
    for place, token in enumerate(ids.tolist()):
        held.append(token)
        text = column.spoken(held)[0] if len(held) == 1 else column.decode(held)
        whole = not column.bpe or not text.endswith("\ufffd")
        if whole or len(held) == 4 or place == len(ids) - 1:
            out.append((text, len(held)))
            held = []
    return out


def shortened(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else text[: MAX_LETTERS - 1] + "…"


def _answers(prepared: Prepared, data: TextPairs, task: SequenceToSequence, rows: np.ndarray) -> list[Values]:
    """Texts with what the model wrote: the worst, middling and best ones by chrF of the sentence."""
    from sacrebleu import sentence_chrf

    model, some = prepared.state.model, some_rows(rows, MEASURED)
    written = task.translate(model, data, some)
    references = data.raw[data.reply.name][some].tolist()
    scores = np.array([sentence_chrf(w, [r]).score for w, r in zip(written, references, strict=True)])
    order = np.lexsort([data.source.lengths[some], scores])
    third = min(ANSWERS, len(order)) // 3
    middle = (len(order) - third) // 2
    groups = {"best": order[::-1][:third], "middle": order[middle : middle + third][::-1], "worst": order[:third]}
    out = []
    for group, places in groups.items() if third else [("best", order)]:
        found = task.write(model, data.source.padded(some[places]).to(prepared.device), data.encoder, task.usual)
        for place, answer in zip(places.tolist(), found, strict=True):
            row = int(some[place])
            entry: Values = {
                "row": row,
                "group": group,
                "chrf": float(scores[place]),
                "said": shortened(answer["text"]),
            }
            describe(data, entry)
            if "attention" in answer and max(len(answer["tokens"]), len(answer["source_tokens"])) <= MAX_SIDE:
                weights = [[round(w, 4) for w in line] for line in answer["attention"]]
                entry |= {"attention": weights} | {key: answer[key] for key in ("source_tokens", "tokens")}
            out.append(entry)
    drawn = sorted((e for e in out if "attention" in e), key=lambda e: -len(e["source_tokens"]))
    for entry in drawn[ATTENTIONS:]:
        del entry["attention"]
    return out


def _written(prepared: Prepared, data: TextLines, task: NextToken, rows: np.ndarray) -> list[Values]:
    """What the model makes of nothing and of how some texts begin, at each temperature, beside how they go on."""
    column = data.tokens
    entries: list[Values] = [{"begun": "", "true": ""}]
    for row in some_rows(rows, BEGINNINGS).tolist():
        text = shortened(str(data.row_words(row)[column.name]))
        begun = beginning(text)
        entries.append({"row": row, "begun": begun, "true": text[len(begun) :]})
    begins = np.array([entry["begun"] for entry in entries], dtype=object)
    inputs = torch.from_numpy(data.encoder.encode({column.name: begins})).to(prepared.device)
    usual = int(np.clip(np.quantile(data.source.lengths, 0.9), 20, 120))
    for temperature in TEMPERATURES:
        decoding = task.decoding(temperature=temperature, max_tokens=usual, seed=prepared.order.seed)
        found = task.write(prepared.state.model, inputs, data.encoder, decoding)
        for entry, answer in zip(entries, found, strict=True):
            goes_on = answer["text"].removeprefix(answer["begun"])
            entry.setdefault("said", {})[f"{temperature:g}"] = goes_on
    return entries


def _surprises(prepared: Prepared, data: TextLines, rows: np.ndarray) -> Values:
    """The tokens that cost most bits in all, and some texts with what each token costs, from hard to easy ones."""
    some = some_rows(rows, MEASURED)
    bits = _bits(prepared, data, some)
    pieces = [_priced(data.tokens, data.source[row][1:], bits[place]) for place, row in enumerate(some.tolist())]
    costs: dict[str, list[float]] = {}
    for text, price in (piece for line in pieces for piece in line):
        costs.setdefault(text, []).append(price)
    whole = sum(map(sum, costs.values())) or 1.0
    tokens = [
        {"token": text, "count": len(found), "mean": sum(found) / len(found), "share": sum(found) / whole}
        for text, found in sorted(costs.items(), key=lambda item: -sum(item[1]))[:COSTLY]
    ]
    means = np.array([bits[place].mean() if len(bits[place]) else 0.0 for place in range(len(some))])
    order = np.argsort(-means, kind="stable")
    chosen = dict.fromkeys(order[np.linspace(0, len(order) - 1, min(SHADED, len(order))).astype(int)].tolist())
    gap = " " if data.tokens.tokenizer == "words" else ""
    shaded = [
        {
            "row": int(some[place]),
            "pieces": [[text + gap, round(price, 2)] for text, price in pieces[place][:MAX_SHADED]],
            "more": len(pieces[place]) > MAX_SHADED,
            "mean": float(means[place]),
        }
        for place in chosen
    ]
    return {"costly": tokens, "shaded": shaded, "costly_rows": len(some)}


def _priced(column: Tokens, ids: np.ndarray, bits: np.ndarray) -> list[tuple[str, float]]:
    """Readable tokens with what each costs in bits."""
    out, at = [], 0
    for text, count in readable(column, ids):
        out.append((text, float(bits[at : at + count].sum())))
        at += count
    return out


def _bits(prepared: Prepared, data: TextLines, rows: np.ndarray) -> Ragged:
    """What each token but the first of these rows costs the model, in bits."""
    longest = int(data.source.lengths[rows].max())
    at_once = max(1, min(64, MAX_OUTPUTS // max(1, longest * data.num_outputs)))
    found: list[np.ndarray] = []
    for part in torch.split(torch.from_numpy(rows), at_once):
        batch = data.batch(part)
        with autocast(prepared.device, prepared.precision):
            outputs = apply(prepared.state.model, batch.inputs)
        losses = F.cross_entropy(
            outputs.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE, reduction="none"
        ).view_as(batch.targets)
        for line, target in zip(losses.cpu().numpy(), batch.targets.cpu().numpy(), strict=True):
            found.append(line[target != IGNORE] / math.log(2))
    return Ragged.of(found, np.float64)


def _tagged(prepared: Prepared, data: TextTags, task: Tagging, rows: np.ndarray, wrong: Tensor) -> list[Values]:
    """Texts with their labels and what was said, those with the most mistakes first."""
    out = []
    for place in wrong.argsort(descending=True, stable=True)[:TAGGED].tolist():
        row = int(rows[place])
        inputs = data.source.padded(rows[[place]]).to(prepared.device)
        said = task.write(prepared.state.model, inputs, data.encoder, task.usual)[0]["labels"]
        true = data.reply.spoken(data.labels_of[row])
        seen = data.tokens.spoken(data.source[row])
        lines = [list(cells)[:MAX_TOKENS] for cells in (seen, true, said)]
        out.append({"row": row, "tokens": lines[0], "labels": lines[1], "said": lines[2], "wrong": int(wrong[place])})
    return out
