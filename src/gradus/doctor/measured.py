"""What was measured of a training program, in a few lines: told also where no fault was found."""

from __future__ import annotations

import math

from gradus.doctor.signals import Check, LossSite, Signals

LINES = {
    "training": ("training", "训练"),
    "validation": ("validation", "验证"),
    "updates": ("updates", "更新"),
    "waiting": ("waiting", "等待"),
    "updates_told": (
        "{n:,} by {kind}, learning rate {lr}; {seconds:.1f} s in all",
        "{n:,} 次，{kind}，学习率 {lr}；共 {seconds:.1f} 秒",
    ),
    "loss_told": ("{name} {first} → {last}{chance}", "{name} {first} → {last}{chance}"),
    "chance": (" (by chance {value:.3g})", "（随机猜测为 {value:.3g}）"),
    "accuracy": (", accuracy {value:.3f}", "，准确率 {value:.3f}"),
    "best": (", at its best {value:.4g} after {n:,} updates", "，最好 {value:.4g}（{n:,} 次更新后）"),
    "none_seen": ("no loss of torch was called with gradient", "没有看到带梯度的 torch 损失函数"),
    "no_updates": ("no optimiser of torch made an update", "没有看到 torch 优化器的更新"),
    "wait_told": (
        "{share:.0%} of the time between batches, for {sampler} data, {workers} workers",
        "占两批之间时间的 {share:.0%}（{sampler}，{workers} 个 worker）",
    ),
}
"""Label or sentence, in English and in Chinese."""


def measured(seen: Signals, language: str) -> list[tuple[str, str]]:
    """Labelled lines: updates, training loss, validation, waiting for data."""

    def say(key: str, **values: object) -> str:
        return LINES[key][language == "zh"].format(**values)

    lines = []
    made = [o for o in seen.optimizers if o.steps]
    for o in made:
        rates = sorted({rate for _, rate in o.rates})
        lr = f"{rates[-1]:g}" + (f" … {rates[0]:g}" if len(rates) > 1 else "") if rates else f"{o.lr:g}"
        told = say("updates_told", n=o.steps, kind=o.kind, lr=lr, seconds=seen.seconds)
        lines.append((say("updates"), told))
    if not made:
        lines.append((say("updates"), say("no_updates")))
    for site in seen.training[:3]:
        text = say("loss_told", name=site.name, first=_figure(site.first), last=_figure(site.last), chance="")
        chance = chance_of(site)
        lines.append((say("training"), text + (say("chance", value=chance) if chance else "")))
    if not seen.training:
        for backward in seen.backwards[:1]:
            values = [v for _, v in backward.values]
            tenth = values[-max(1, len(values) // 10) :]
            first, last = _figure(values[0] if values else None), _figure(sum(tenth) / len(tenth) if tenth else None)
            lines.append((say("training"), say("loss_told", name=backward.op, first=first, last=last, chance="")))
        if not seen.backwards:
            lines.append((say("training"), say("none_seen")))
    lines += _validation(seen.of_validation(), say)
    for loader in seen.loaders:
        total = loader.waited + loader.busy
        if loader.training and total > 0.5:
            share = loader.waited / total
            told = say("wait_told", share=share, sampler=loader.sampler, workers=loader.workers)
            lines.append((say("waiting"), told))
    return lines


def chance_of(site: LossSite) -> float:
    """The loss of guessing by chance, where that is known: ln C."""
    if site.classes > 1:
        return math.log(site.classes)
    return math.log(2) if site.name.startswith("binary_cross_entropy") else 0.0


def _validation(checks: list[Check], say: object) -> list[tuple[str, str]]:
    lines = []
    for source in dict.fromkeys(check.source for check in checks):
        own = [check for check in checks if check.source == source]
        with_loss = [check for check in own if check.loss is not None and math.isfinite(check.loss)]
        text = ""
        if with_loss:
            best = min(with_loss, key=lambda c: c.loss or 0.0)
            last = with_loss[-1]
            text = say(
                "loss_told", name=last.name, first=_figure(with_loss[0].loss), last=_figure(last.loss), chance=""
            )  # type: ignore[operator]
            if best is not last:
                text += say("best", value=best.loss, n=best.update)  # type: ignore[operator]
        if own[-1].accuracy is not None:
            accuracy = say("accuracy", value=own[-1].accuracy)  # type: ignore[operator]
            text += accuracy if text else accuracy.lstrip(", ，")
        if text:
            lines.append((say("validation"), text))  # type: ignore[operator]
    return lines[:3]


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
