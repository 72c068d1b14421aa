"""How the loss of a training went: where it began, where it ended, whether it moved at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradus.doctor.signals import LossSite, ParameterSeen, Signals

BLOCKS = 20
ALIKE = 0.3  # a second line with more backward passes than this share of the first's: two losses, as of a GAN
SLOW = 0.1  # of the way that is left, in two fifths of the run
HEADWAY = 0.1  # less than this share of the loss gone: no headway


@dataclass(frozen=True)
class Course:
    """A series of losses in twenty blocks.

    Args:
        first: the loss before it could change.
        blocks: means of equal parts of the series, in order.
        chance: the loss of the best answer that doesn't look at its input; None where it isn't known.
        updates: after which the newest value was.
    """

    first: float
    blocks: list[float]
    chance: float | None
    updates: int
    site: LossSite | None
    peak: float = 0.0  # the largest single loss

    @property
    def last(self) -> float:
        """The mean of the newest tenth."""
        return sum(self.blocks[-2:]) / len(self.blocks[-2:])

    @property
    def least(self) -> float:
        return min(self.blocks)

    @property
    def start(self) -> float:
        """What the end is measured by: the first loss, or that of chance where it is less."""
        return self.first if self.chance is None else min(self.first, self.chance)

    @property
    def headway(self) -> float:
        """The share of the loss that went away, 0 at chance, 1 at no loss; below 0 it rose."""
        return 1 - self.last / self.start if self.start > 0 else 1.0

    @property
    def fall(self) -> float:
        """By how much the last two fifths lie below the two before them."""
        part = len(self.blocks) * 2 // 5
        old, new = self.blocks[-2 * part : -part], self.blocks[-part:]
        return sum(old) / len(old) - sum(new) / len(new)

    def stands(self, reached: float) -> bool:
        """Whether it lies on a plateau: as it falls, it wouldn't come near a loss that can be reached for long."""
        return self.fall < max(0.02 * abs(self.start), SLOW * (self.last - reached))


def course(seen: Signals, least: int = 30) -> Course | None:
    """How the loss went; None where there is no one loss, where it is too short, or where its numbers tell nothing."""
    main = seen.main
    if main is None or len(main.values) < least or seen.updates < least:
        return None
    if any(b is not main and b.calls > ALIKE * main.calls for b in seen.backwards):
        return None
    values = [value for _, value in main.values if math.isfinite(value)]
    if len(values) < least or min(values) < 0:  # a loss below 0 has no end that it could reach
        return None
    early = [value for update, value in main.values if update == 0 and math.isfinite(value)]
    step = len(values) / BLOCKS
    blocks = []
    for k in range(BLOCKS):
        part = values[int(k * step) : max(int((k + 1) * step), int(k * step) + 1)]
        blocks.append(sum(part) / len(part))
    site = next((s for s in seen.training if s.name in main.losses), None)
    same = site is not None and site.first is not None and bool(early) and _near(site.first, early[0])
    chance = chance_of(site) if site is not None and same else None
    first = sum(early) / len(early) if early else values[0]
    return Course(first, blocks, chance, main.values[-1][0], site, max(values))


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 0.05 * max(abs(one), abs(other), 1e-12)


def chance_of(site: LossSite) -> float | None:
    """The loss of the best constant answer."""
    if site.weighted or site.reduction != "mean":
        return None
    if site.classes or site.name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        total = sum(site.labels.values())
        if total < 20:
            return _binary(site)
        shares = [count / total for count in site.labels.values() if count]
        entropy = -sum(share * math.log(share) for share in shares)
        return entropy if entropy > 0 and not site.smoothing else None
    if site.name == "mse_loss" and site.targets.seen and site.targets.std > 0 and site.unequal_shapes == 0:
        return site.targets.std**2
    return None


def _binary(site: LossSite) -> float | None:
    """Of many yes-or-no answers each, by the share of yes among all."""
    yes = site.targets.mean
    if site.classes or not site.whole_targets or site.targets.seen < 3 or not 0 < yes < 1:
        return None
    return -yes * math.log(yes) - (1 - yes) * math.log(1 - yes)


def matrices(seen: Signals) -> list[ParameterSeen]:
    """The weights of two axes or more that an optimiser moves, in the order in which the models register them."""
    return [
        p for p in seen.parameters
        if len(p.shape) > 1 and math.prod(p.shape) > 1 and p.optimizer is not None and p.requires_grad and p.gradients
    ]  # fmt: skip


def median(values: list[float]) -> float:
    """The middle one; NaN of none."""
    ordered = sorted(v for v in values if not math.isnan(v))
    return ordered[len(ordered) // 2] if ordered else math.nan


def broke(seen: Signals) -> bool:
    """Whether the loss or a gradient became NaN or infinite."""
    return any(b.broken for b in seen.backwards)
