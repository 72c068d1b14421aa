"""Watches the loss functions: what goes in, where it came from, what comes out."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradus.doctor import graph, places
from gradus.doctor.signals import Check, LossSite, Place
from gradus.doctor.watch.rows import signatures, summarise
from gradus.doctor.watch.watching import Patches, Watching, number

CLASSES = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
EQUAL = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", *BINARY)  # losses of two equal shapes
OTHERS = ("kl_div", "poisson_nll_loss", "gaussian_nll_loss", "hinge_embedding_loss", "soft_margin_loss",
          "multilabel_soft_margin_loss", "margin_ranking_loss")  # fmt: skip
ALWAYS = 400  # calls of a line that are all looked at; after them
SELDOM = 20  # every twentieth
CALLS = 5000  # values that are kept of a line
RECENT = 200
MANY = 20_000  # predictions of a batch: of more only every tenth is read for its answers
PAIRS = 1024  # examples that are kept for experiments at the end


class Losses:
    """Wraps the loss functions of torch.nn.functional, which the modules of torch.nn call, too."""

    def __init__(self, watching: Watching, patches: Patches) -> None:
        self.watching = watching
        self.sites: dict[tuple[str, Place | None, bool], LossSite] = {}
        self.nodes: dict[Any, str] = {}  # of the newest results, by the operation that made them
        self.outputs: list[tuple[int, int]] = []  # storages that models gave lately, and the models' indices
        self.beginning: tuple[str, Tensor, dict[str, Any], int, nn.Module] | None = (
            None  # what a first step was made of
        )
        self.copies: dict[int, nn.Module] = {}  # of models, before their first update
        self.pairs: list[tuple[Tensor, Tensor, torch.Size]] = []  # (input, target, shape of the prediction) of batches
        self.paired: set[int] | None = set()  # signatures of their inputs; None: no more are kept
        self.pair_site: LossSite | None = None
        self.inside = False
        note = watching.quietly(self.note)
        for name in (*CLASSES, *EQUAL, *OTHERS):
            patches.replace(F, name, functools.partial(self._wrap, name, note))

    def _wrap(self, name: str, note: Callable[..., Any], original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(original)
        def loss(*args: Any, **kwargs: Any) -> Tensor:
            if self.inside or self.watching.deaf:  # torch calls a function again by its name while a mode listens
                return original(*args, **kwargs)
            self.inside = True
            try:
                result = original(*args, **kwargs)
            finally:
                self.inside = False
            note(name, result, args, kwargs)
            return result

        return loss

    def note(self, name: str, result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        w = self.watching
        predicted = args[0] if args else kwargs.get("input")
        target = args[1] if len(args) > 1 else kwargs.get("target")
        if not isinstance(predicted, Tensor) or not isinstance(target, Tensor):
            return
        gradient = result.requires_grad
        place = places.here()
        site = self.sites.get((name, place, gradient))
        if site is None:
            site = self.sites[name, place, gradient] = LossSite(name, place, gradient)
            w.seen.losses.append(site)
            self._begin(site, predicted, target, args, kwargs)
        site.calls += 1
        if gradient:
            w.event("loss", place=place)
            if result.grad_fn is not None:
                if len(self.nodes) > 64:
                    self.nodes.clear()
                self.nodes[result.grad_fn] = name
        elif w.check is not None:
            w.check.name = name
        if site.calls > ALWAYS and site.calls % SELDOM and w.check is None:
            return
        value = number(result) if result.numel() == 1 else number(result.mean())
        if site.reduction == "sum" and name not in OTHERS:
            value /= max(_summed(name, predicted, target, site.ignore_index), 1)
        if site.first is None and w.update == 0:
            site.first = value
        if len(site.values) < CALLS:
            site.values.append((w.update, value))
        if not math.isfinite(value) and not site.unfinite:
            self._unfinite(site, predicted, target)
        if site is self.pair_site and self.paired is not None:
            self._pair(predicted, target)
        if name in EQUAL and predicted.shape != target.shape:
            site.unequal_shapes += 1
        if site.calls <= 20 or w.closely:
            summarise(site.predicted, predicted)
            summarise(site.targets, target)
        if not gradient or w.closely or site.calls <= 20 or predicted.numel() <= MANY or site.calls % 10 == 0:
            self._labels(site, predicted, target, w.check if not gradient else None)
        if not gradient and w.check is not None:
            check, rows = w.check, max(len(target) if target.ndim else 1, 1)
            before = check.targets
            check.loss = value if check.loss is None else (check.loss * before + value * rows) / (before + rows)
            check.targets += rows

    def _begin(
        self, site: LossSite, predicted: Tensor, target: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        site.shape, site.target_shape = tuple(predicted.shape), tuple(target.shape)
        site.dtype, site.target_dtype = str(predicted.dtype)[6:], str(target.dtype)[6:]
        site.producers = graph.producers(predicted)
        site.reduction = str(kwargs.get("reduction", "mean"))
        site.ignore_index = int(kwargs.get("ignore_index", -100))
        site.smoothing = float(kwargs.get("label_smoothing", 0.0))
        weights = [kwargs.get("weight"), kwargs.get("pos_weight"), args[2] if len(args) > 2 else None]
        site.weighted = any(isinstance(value, Tensor) for value in weights)
        storage = predicted.untyped_storage().data_ptr() if predicted.numel() else 0
        number_ = next((index for other, index in reversed(self.outputs) if other == storage), None)
        site.from_model = number_ is not None
        if number_ is not None and self.beginning is None and site.gradient and number_ in self.copies:
            named = {key: value for key, value in kwargs.items() if key not in ("input", "target")}
            if all(value is None for value in args[2:]):
                self.pair_site = site
                self.beginning = (site.name, target.detach().clone(), named, number_, self.copies[number_])
        flat = target.detach().reshape(-1)[:4096].float()
        site.first_targets = flat.tolist()
        site.run = _run(site.first_targets)
        if target.is_floating_point() and target.ndim == 2 and target.shape[1] > 1:
            sums = target.detach().sum(1)
            site.rows_sum_to_one = (int(((sums - 1).abs() < 1e-4).sum()), len(target))

    def _pair(self, predicted: Tensor, target: Tensor) -> None:
        """Keep a batch of the first epoch for an experiment at the end."""
        given, rows = self.watching.given, sum(len(x) for x, _, _ in self.pairs)
        if given is None or self.paired is None or rows >= PAIRS or given.numel() > 4_000_000 or not given.ndim:
            self.paired = None
            return
        found = signatures(given)
        if self.paired.intersection(found):  # the epoch is over
            self.paired = None
            return
        self.paired.update(found)
        self.pairs.append((given.detach().clone(), target.detach().clone(), predicted.shape))

    def _unfinite(self, site: LossSite, predicted: Tensor, target: Tensor) -> None:
        """The first result that isn't finite: whether the data were it already."""
        site.unfinite, fed = True, self.watching.fed
        if not bool(torch.isfinite(target).all()) and bool(torch.isfinite(predicted).all()):
            site.unfinite_data = "targets"
        elif site.gradient and fed is not None and not bool(torch.isfinite(fed).all()):
            site.unfinite_data = "inputs"

    def _labels(self, site: LossSite, predicted: Tensor, target: Tensor, check: Check | None) -> None:
        found = labels_of(site.name, predicted, target)
        if found is None:
            if site.whole_targets and target.numel() and len(site.distinct) < 64:
                values = target.detach().reshape(-1)[:512].float()
                site.whole_targets = bool((values == values.round()).all())
                site.distinct.update(values.unique()[:64].tolist())
            return
        labels, answers = found
        kept = labels != site.ignore_index if site.name in CLASSES else torch.ones_like(labels, dtype=torch.bool)
        site.ignored += int((~kept).sum())
        labels, answers = labels[kept], answers[kept]
        if not labels.numel():
            return
        counted = Counter(_counted(labels))
        given = Counter(_counted(answers))
        right = int((labels == answers).sum())
        site.labels.update(counted)
        site.answers.update(given)
        site.recent.append(given)
        del site.recent[:-RECENT]
        site.correct += right
        site.judged += len(labels)
        if len(site.distinct) < 64:
            site.distinct.update(float(label) for label in counted)
        if len(site.batch_labels) < ALWAYS:
            site.batch_labels.append((len(counted), len(labels)))
            site.batch_tops.append(counted.most_common(1)[0][0])
            same = int((labels[1:] == labels[:-1]).sum())
            site.neighbours = (site.neighbours[0] + same, site.neighbours[1] + len(labels) - 1)
        if check is not None:
            check.correct += right
            check.judged += len(labels)
            check.predicted_labels.update(given)


def labels_of(name: str, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """Labels and answers, (n,) each, of a loss of classes; None of one that has none."""
    predicted, target = predicted.detach(), target.detach()
    if name in CLASSES:
        if predicted.ndim == 1:
            predicted, target = predicted[None], target.reshape(1)
        if target.is_floating_point():
            if target.shape != predicted.shape:
                return None
            target = target.argmax(1)
        return target.reshape(-1), predicted.argmax(1).reshape(-1)
    if name in BINARY and target.numel() == predicted.numel() and (predicted.ndim < 2 or predicted.shape[-1] == 1):
        middle = 0.5 if name == "binary_cross_entropy" else 0.0
        return (target.reshape(-1) > 0.5).long(), (predicted.reshape(-1) > middle).long()
    return None


def _summed(name: str, predicted: Tensor, target: Tensor, ignored: int) -> int:
    """How many losses a sum is of: one for each target of a class, or for each row of their probabilities."""
    if name not in CLASSES:
        return predicted.numel()
    if target.is_floating_point():
        return target.numel() // (predicted.shape[1] if predicted.ndim > 1 else predicted.numel())
    return int((target != ignored).sum())


def _counted(labels: Tensor) -> dict[int, int]:
    values, counts = labels.unique(return_counts=True)
    return dict(zip((int(v) for v in values.tolist()), counts.tolist(), strict=True))


def _run(values: list[float]) -> float:
    """The mean length of runs of the commonest value."""
    if not values:
        return 0.0
    common = Counter(values).most_common(1)[0][0]
    runs = times = 0
    before: float | None = None
    for value in values:
        if value == common:
            times += 1
            runs += before != common
        before = value
    return times / max(runs, 1)
