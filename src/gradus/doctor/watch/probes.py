"""Experiments on copies of the model, at the end: do examples mix, can one batch be memorised."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradus.doctor.ceiling import of_rows
from gradus.doctor.signals import LossSite
from gradus.doctor.watch.watching import Watching, first_tensor

if TYPE_CHECKING:
    from gradus.doctor.watch.models import Models

LEAST_ROWS = 120  # that tell whether there is anything to learn
LARGEST = 5_000_000  # weights of a model that experiments are made on
STEPS = 150
SECONDS = 8.0
RATES = (1e-3, 1e-2)


class Probes:
    """What is tried, each with its question; a model or loss that can't be called again is left alone."""

    def __init__(self, watching: Watching, models: Models) -> None:
        self.watching, self.models = watching, models

    def all(self) -> None:
        with torch.random.fork_rng(devices=[]):
            for number, (args, kwargs, _) in self.models.first.items():
                if self.watching.seen.models[number].weights <= LARGEST:
                    self._try(self.mixes, number, args, kwargs)
            self._try(self.memorises)
            self._try(self.learns)
            self._try(self.ceiling)

    def _try(self, probe: Any, *args: Any) -> None:
        try:
            probe(*args)
        except Exception:  # it was an experiment: a model may not be copied, or not be called so
            return

    def mixes(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Does the answer to an example change when the others of its batch do? In evaluation mode it mustn't."""
        seen, model = self.watching.seen.models[number], self.models.roots[number]
        given = first_tensor(args)
        if given is None or len(args) != 1 or kwargs or not isinstance(args[0], Tensor) or len(given) < 3:
            return
        site = next((s for s in self.watching.seen.training if s.from_model), None)
        rows = len(given)
        if site is None or not site.target_shape or site.target_shape[0] % rows:
            return
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None for m in model.modules()):
            return
        seen.time_first = any(getattr(m, "batch_first", True) is False for m in model.modules())
        if seen.time_first and (site.target_shape[0] != rows or site.target_shape[1:2] == given.shape[1:2]):
            return  # the first axis may be time
        model = copy.deepcopy(model).eval()
        with torch.no_grad():
            before = first_tensor(model(given))
            if before is None or before.shape[:1] != (rows,):
                return
            again = first_tensor(model(given))
            assert again is not None
            moved = ordered = 0.0
            for kept in (0, rows - 1):
                other = given.roll(1, 0).clone() if rows > 3 else given.flip(0).clone()
                other[kept] = given[kept]
                after = first_tensor(model(other))
                assert after is not None
                noise = float((again[kept] - before[kept]).abs().max())
                moved = max(moved, float((after[kept] - before[kept]).abs().max()) - noise)
                places = [i for i in range(rows) if i != kept]
                other = given.clone()
                other[places] = given[places[1:] + places[:1]]  # the same others, in another order
                after = first_tensor(model(other))
                assert after is not None
                ordered = max(ordered, float((after[kept] - before[kept]).abs().max()) - noise)
        spread = float(before.float().std(correction=0)) or 1.0
        seen.mixes_by = moved / spread
        seen.mixes_order = ordered / spread
        seen.mixes = seen.mixes_by > 1e-3

    def memorises(self) -> None:
        """From its first weights, can the model learn one batch by heart? Asked where the training loss stayed high."""
        w = self.watching
        begun = self.models.losses.beginning
        site = next((s for s in w.seen.training if s.from_model), None)
        if begun is None or site is None or not self._high(site):
            return
        name, target, kwargs, number, model = begun
        args, named, _ = self.models.first[number]
        loss_of = getattr(F, name)

        def loss(trial: nn.Module) -> Tensor:
            output = first_tensor(trial(*args, **named))
            assert output is not None
            result: Tensor = loss_of(_formed(output, site.shape), target, **kwargs)
            return result

        found = memorised(model, loss, SECONDS)
        if found is not None:
            w.seen.probe.memorised_from, w.seen.probe.memorised = found

    def learns(self) -> None:
        """Do the model itself and a plain network learn more of the first epoch, by Adam? Asked of held-out batches.

        A loss that stays high may be what the labels' noise leaves; it isn't, where this tells more of unseen rows.
        """
        w, begun, pairs = self.watching, self.models.losses.beginning, self.models.losses.pairs
        site = self.models.losses.pair_site
        rows = sum(len(x) for x, _, _ in pairs)
        if begun is None or site is None or not self._high(site) or rows < LEAST_ROWS or len(pairs) < 4:
            return
        name, _, kwargs, number, model = begun
        if kwargs.get("reduction", "mean") != "mean":
            return
        held = max(1, len(pairs) // 4)
        w.seen.probe.rows = rows
        loss_of = getattr(F, name)

        def losses(pairs: list[Any]) -> list[Callable[[nn.Module], Tensor]]:
            def loss(trial: nn.Module, x: Tensor, y: Tensor, shape: Any) -> Tensor:
                output = first_tensor(trial(x))
                assert output is not None
                result: Tensor = loss_of(_formed(output, shape), y, **kwargs)
                return result

            return [partial(loss, x=x, y=y, shape=shape) for x, y, shape in pairs]

        args, named, _ = self.models.first[number]
        if len(args) == 1 and not named and isinstance(args[0], Tensor):
            w.seen.probe.again = held_out(
                copy.deepcopy(model), losses(pairs[:-held]), losses(pairs[-held:]), SECONDS / 2
            )
        plain = [(x.reshape(len(x), -1), y, shape) for x, y, shape in pairs if len(x) == shape[0]]
        ids = [x for x, _, _ in plain if not x.is_floating_point()]
        most = max((int(x.max()) for x in ids), default=0) + 1
        if ids and len(ids) == len(plain) and most * ids[0].shape[1] <= 8192:  # each place has a column for each id
            plain = [(F.one_hot(x.long(), most).flatten(1).float(), y, s) for x, y, s in plain]
        width = plain[0][0].shape[1] if plain else 0
        outputs = math.prod(plain[0][2][1:]) if plain else 0
        alike = all(x.shape[1] == width and math.prod(s[1:]) == outputs for x, _, s in plain)
        small = width <= 20_000 and outputs <= 256
        if len(plain) == len(pairs) and alike and small and plain[0][0].is_floating_point():
            network = Plain(torch.cat([x for x, _, _ in plain]), (outputs,))
            w.seen.probe.plain = held_out(network, losses(plain[:-held]), losses(plain[-held:]), SECONDS / 2)

    def ceiling(self) -> None:
        """Do rows of the first epoch look alike and have different answers? Asked of tables."""
        pairs = self.models.losses.pairs
        if pairs and pairs[0][0].ndim == 2 and all(len(x) == len(y) for x, y, _ in pairs):
            self.watching.seen.ceiling = of_rows(
                torch.cat([x for x, _, _ in pairs]), torch.cat([y for _, y, _ in pairs])
            )

    def _high(self, site: LossSite) -> bool:
        last = site.last
        if last is None or not math.isfinite(last) or len(site.values) < 30:
            return False
        if site.classes:
            return last > 0.3 * math.log(site.classes)
        if site.name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
            return last > 0.35
        return site.first is not None and last > 0.5 * site.first


def _formed(output: Tensor, shape: Any) -> Tensor:
    """A model's output in the form in which the loss was given it."""
    if output.ndim == 3 and output.shape != shape and output.transpose(1, 2).shape == shape:
        return output.transpose(1, 2)
    return output.reshape(shape)


class Plain(nn.Module):
    """Two hidden layers of 64 units over standardised columns: what any model should be able to learn.

    Args:
        columns: the rows that it will learn from, (rows, columns).
        answer: the shape of its answer to a row.
    """

    def __init__(self, columns: Tensor, answer: tuple[int, ...]) -> None:
        super().__init__()
        columns, self.answer = columns.float(), answer
        self.mean, self.std = columns.mean(0), columns.std(0, correction=0).clamp_min(1e-6)
        sizes = (columns.shape[1], 64, 64, math.prod(answer))
        parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*parts[:-1]).to(columns.device)

    def forward(self, x: Tensor) -> Tensor:
        x = ((x.flatten(1).float() - self.mean) / self.std).clamp(-10, 10)
        answers: Tensor = self.layers(x)
        return answers.unflatten(1, self.answer) if self.answer else answers.squeeze(1)


def held_out(
    model: nn.Module,
    taught: list[Callable[[nn.Module], Tensor]],
    held: list[Callable[[nn.Module], Tensor]],
    seconds: float,
) -> float | None:
    """The least loss on held-out batches while a model learns others by Adam, each given as its loss of a model."""
    best, started = math.inf, time.perf_counter()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for step in range(2 * STEPS):
        loss = taught[step % len(taught)](model.train())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        late = time.perf_counter() - started > seconds
        if step % 15 == 14 or late:
            model.eval()
            with torch.no_grad():
                best = min(best, sum(float(loss(model)) for loss in held) / len(held))
        if late:
            break
    return best if math.isfinite(best) else None


def memorised(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], seconds: float = math.inf
) -> tuple[float, float] | None:
    """The loss on one batch before, and at its least, in 150 steps of Adam at two rates, without dropout, on copies.

    Args:
        loss: of a copy, on the batch.
        seconds: None is given where it takes longer.
    """
    best, first = math.inf, math.nan
    started = time.perf_counter()
    for rate in RATES:
        trial = copy.deepcopy(model).train()
        for module in trial.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
        optimizer = torch.optim.Adam([p for p in trial.parameters() if p.requires_grad], lr=rate)
        for step in range(STEPS):
            value = loss(trial)
            if step == 0 and rate == RATES[0]:
                first = float(value.detach())
            best = min(best, float(value.detach()))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if time.perf_counter() - started > seconds:
                return None
    return first, best
