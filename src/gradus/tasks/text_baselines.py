"""What a model of texts is held against: tf-idf with a linear classifier, n-grams, and the nearest known sentence."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gradus.data.ragged import Ragged
from gradus.data.sequences import TextClasses, TextDataset, TextLines, TextPairs
from gradus.data.splits import some_rows
from gradus.tasks.task import Task
from gradus.tasks.tokens import TokenTask, corpus_scores

MAX_TEXTS = 20_000  # that a reference is fitted on, or an n-gram model measured on: it is a means to compare, no end
Scores = dict[str, dict[str, float]]


def text_classes(task: Task, data: TextClasses, split: str) -> Scores:
    """The most frequent class, and a linear support vector machine over tf-idf: of words and pairs of words, or of
    one to four characters where the model reads characters (scikit-learn's defaults else).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    train, rows = data.splits["train"], data.splits[split]
    name, outputs = task.constant(data.targets[torch.from_numpy(train)])
    targets = data.targets[torch.from_numpy(rows)]
    out = {name: task.metrics(outputs.expand(len(rows), -1), targets)}
    fitted = some_rows(train, MAX_TEXTS)
    analyser, longest = ("char_wb", 4) if data.tokens.tokenizer == "characters" else ("word", 2)
    vectors = TfidfVectorizer(analyzer=analyser, ngram_range=(1, longest), sublinear_tf=True)
    texts = data.raw[data.tokens.name]
    model = LinearSVC().fit(vectors.fit_transform(texts[fitted]), data.raw_targets[fitted])
    said = torch.from_numpy(np.asarray(model.predict(vectors.transform(texts[rows])))).long()
    sure = said[:, None] * 2.0 - 1 if task.num_outputs == 1 else torch.eye(task.num_outputs)[said]
    measured = task.metrics(sure * 10, targets)
    told = {metric: measured[metric] for metric in ("accuracy", "f1_macro")}  # its answers are no probabilities
    return {**out, f"tf-idf and a linear SVM{_on(fitted, train)}": told}


def next_token(task: TokenTask, data: TextLines, split: str) -> Scores:
    """The unigram model, and the 5-gram model of interpolated Kneser–Ney."""
    train, rows = some_rows(data.splits["train"], MAX_TEXTS), some_rows(data.splits[split], MAX_TEXTS)
    out: Scores = {}
    for order, name in ((1, "unigram model"), (5, "5-gram model")):
        model = NGram(order, data.tokens.size).fit(data.source, train)
        kept = [model.row_sums(data.source[row]) for row in rows]
        sums = torch.tensor([[nats, 0.0, 0.0, 0.0] for nats, _ in kept], dtype=torch.float64)
        sums[:, 2:] = torch.from_numpy(_sizes(task, data, rows))
        measured = task.scores(sums, torch.tensor([tokens for _, tokens in kept]))
        out[f"{name}{_on(train, data.splits['train'])}"] = {k: v for k, v in measured.items() if k != "accuracy"}
    return out


def nearest_answer(data: TextPairs, split: str) -> Scores:
    """The answer of the training text that is most alike by tf-idf of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, rows = some_rows(data.splits["train"], MAX_TEXTS), data.splits[split]
    sources, answers = data.raw[data.tokens.name], data.raw[data.reply.name]
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]")
    known = vectors.fit_transform(sources[train]).T.tocsr()
    best: list[np.ndarray] = []
    for begin in range(0, len(rows), 256):
        alike = vectors.transform(sources[rows[begin : begin + 256]]) @ known
        best.append(np.asarray(alike.argmax(axis=1)).ravel())
    found = answers[train[np.concatenate(best)]]
    return {"answer of the nearest text": corpus_scores(found.tolist(), answers[rows].tolist())}


@dataclass
class NGram:
    """An n-gram model by interpolated Kneser–Ney smoothing (Chen and Goodman 1999), a discount an order.

    The lowest order is mixed with the uniform distribution over ``size`` tokens. A text's first token is given, for
    it begins every text; of order 1 it is the relative frequency, each token counted once more (Laplace).
    """

    order: int
    size: int
    counts: list[dict[tuple[int, ...], Counter[int]]] = field(default_factory=list)
    discounts: list[float] = field(default_factory=list)
    totals: list[dict[tuple[int, ...], int]] = field(default_factory=list)

    def fit(self, texts: Ragged, rows: Iterable[int]) -> NGram:
        """Count the training texts."""
        tables: list[dict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(self.order)]
        highest = tables[-1]
        for row in rows:
            ids = texts[row].tolist()
            for place in range(1, len(ids)):
                context = tuple(ids[max(0, place - self.order + 1) : place])
                if len(context) == self.order - 1:
                    highest[context][ids[place]] += 1
                else:  # near the beginning, which is context enough: counted as it is, not by its continuations
                    tables[len(context)][context][ids[place]] += 1
        for order in range(self.order - 1, 0, -1):  # below the highest: in how many different contexts a token comes
            for context, found in tables[order].items():
                for token in found:
                    tables[order - 1][context[1:]][token] += 1
        self.counts = tables
        self.totals = [{context: sum(found.values()) for context, found in table.items()} for table in tables]
        for table in tables:
            kinds = Counter(count for found in table.values() for count in found.values() if count <= 2)
            self.discounts.append(kinds[1] / max(kinds[1] + 2 * kinds[2], 1) or 0.5)
        return self

    def probability(self, context: Sequence[int], token: int) -> float:
        """That of a token after a context, of which the last ``order - 1`` tokens count."""
        if self.order == 1:
            return (self.counts[0][()][token] + 1) / (self.totals[0].get((), 0) + self.size)
        value = 1.0 / self.size
        for order in range(min(self.order, len(context) + 1)):
            key = tuple(context[len(context) - order :])
            total = self.totals[order].get(key)
            if not total:
                break
            found, discount = self.counts[order][key], self.discounts[order]
            value = (max(found[token] - discount, 0.0) + discount * len(found) * value) / total
        return value

    def row_sums(self, ids: np.ndarray) -> tuple[float, int]:
        """Negative log-likelihood in nats of a text's tokens but the first, and how many they are."""
        row = ids.tolist()
        reach = self.order - 1
        nats = -sum(math.log(self.probability(row[max(0, i - reach) : i], row[i])) for i in range(1, len(row)))
        return nats, len(row) - 1


def _sizes(task: TokenTask, data: TextDataset, rows: np.ndarray) -> np.ndarray:
    """How many characters and bytes the tokens of each row but the first stand for, (rows, 2)."""
    out = []
    for row in rows:
        characters, size = task.sizes(torch.from_numpy(data.source[row][1:].astype(np.int64)))
        out.append((int(characters.sum()), int(size.sum())))
    return np.array(out, dtype=np.float64).reshape(-1, 2)


def _on(used: np.ndarray, train: np.ndarray) -> str:
    return f" on {len(used):,} rows" if len(used) < len(train) else ""
