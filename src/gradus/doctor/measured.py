"""What was measured of a training program, in a few lines: told also where no fault was found.

The words come first, then what is told of every program (``measured``), then what experiments on a run came to
(``_tried``). A new line is a pair in ``LINES`` and the place here that adds it.
"""

from __future__ import annotations

import math

from gradus.doctor.signals import Check, LossSite, Signals
from gradus.doctor.tried import Probe
from gradus.training.lr_find import HIGHEST

STEEP = 0.3  # of the loss, on a way as long as the weights: less is a critical point, or near one
LEVEL = 1e-5  # curvatures below it are none
CERTAIN = 0.995  # a ceiling above it isn't worth a line
DOWNWARD = 0.02  # of the greatest curvature: the least one, where it is less than minus that, leads down

LINES = {
    "training": ("training", "训练"),
    "validation": ("validation", "验证"),
    "updates": ("updates", "更新"),
    "waiting": ("waiting", "等待"),
    "updates_told": (
        "{n:,} by {kind}, learning rate {lr}; {seconds:.1f} s in all",
        "{n:,} 次，{kind}，学习率 {lr}；共 {seconds:.1f} 秒",
    ),
    "updates_by_hand": (
        "{n:,} by the program's own lines, with no optimiser of torch; {seconds:.1f} s in all",
        "{n:,} 次，由程序自己的代码完成，没有用 torch 的优化器；共 {seconds:.1f} 秒",
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
    "one batch": ("one batch", "单个 batch"),
    "one_batch_told": (
        "a fresh copy, taught one batch by heart: {first} → {last} in 150 steps of Adam",
        "重新初始化的副本只背一个 batch：{first} → {last}（Adam，150 步）",
    ),
    "one_batch_long": (
        "not taught by heart: on this machine that takes longer than one experiment may",
        "没有背完：在本机所需时间超过了单个实验的上限",
    ),
    "other rows": ("other rows", "新样本"),
    "other_rows_told": (
        "a fresh copy, taught {rows:,} rows by Adam, gets to {again} on some that it hasn't seen{plain}",
        "重新初始化的副本用 Adam 学 {rows:,} 个样本，在没见过的样本上达到 {again}{plain}",
    ),
    "plain": ("; a plain network of two layers to {plain}", "；普通的两层网络达到 {plain}"),
    "speed": ("speed", "速度"),
    "speed_told": (
        "{mine:.3g} billion operations a second in training, {share:.0%} of the {possible:.3g} that large products do",
        "训练时每秒 {mine:.3g} 十亿次运算，为本机大矩阵乘法（{possible:.3g}）的 {share:.0%}",
    ),
    "ceiling": ("ceiling", "上限"),
    "ceiling_classes": (
        "{alike:,} of {rows:,} training rows look just like another; where their labels differ, no model tells both: "
        "at most {most:.3f} of these rows can be right",
        "{rows:,} 个训练样本中有 {alike:,} 个与别的样本完全相同；标签不同时，任何模型都无法都答对："
        "这些样本上最多 {most:.3f} 正确",
    ),
    "ceiling_numbers": (
        "{alike:,} of {rows:,} training rows look just like another, with other targets: no model tells more than "
        "{most:.1%} of the variance",
        "{rows:,} 个训练样本中有 {alike:,} 个与别的样本完全相同而目标值不同：任何模型最多解释方差的 {most:.1%}",
    ),
    "not tried": ("not tried", "未能尝试"),
    "modes": ("modes", "模式"),
    "modes_told": (
        "one batch has a loss of {training} in training mode, {evaluation} in evaluation mode",
        "同一个 batch 的损失：训练模式 {training}，评估模式 {evaluation}",
    ),
    "rates": ("rates", "学习率"),
    "rates_told": (
        "on a fresh copy a range test advises {rate:.3g}; past {edge:.3g} the loss breaks away",
        "在重新初始化的副本上，学习率测试建议 {rate:.3g}；超过 {edge:.3g} 损失就失控",
    ),
    "rates_held": (
        "on a fresh copy a range test advises {rate:.3g}; up to {edge:.3g} the loss doesn't break away",
        "在重新初始化的副本上，学习率测试建议 {rate:.3g}；直到 {edge:.3g} 损失都没有失控",
    ),
    "place": ("stands", "所处位置"),
    "slope": (
        "on a slope: the gradient is still large ({steep} of the loss on a way as long as the weights)",
        "在坡上：梯度仍然较大（沿梯度走权重那么长，损失变化 {steep} 倍）",
    ),
    "plateau": (
        "on a plateau: the gradient is small ({steep}), and no direction curves",
        "在平台上：梯度很小（{steep}），各方向都没有弯曲",
    ),
    "saddle": (
        "at a saddle: the gradient is small ({steep}), yet a way leads down (curvatures {low} to {high})",
        "在鞍点：梯度很小（{steep}），但仍有下降方向（曲率 {low} 到 {high}）",
    ),
    "minimum": (
        "in a valley: the gradient is small ({steep}), and all ways lead up or level (curvatures {low} to {high})",
        "在谷底：梯度很小（{steep}），各方向向上或持平（曲率 {low} 到 {high}）",
    ),
}
"""Label or sentence, in English and in Chinese."""


def measured(seen: Signals, language: str) -> list[tuple[str, str]]:
    """Labelled lines: updates, training loss, validation, waiting for data, and what was tried with a run."""

    def say(key: str, **values: object) -> str:
        return LINES[key][language == "zh"].format(**values)

    lines = []
    made = [o for o in seen.optimizers if o.steps]
    for o in made:
        rates = sorted({rate for _, rate in o.rates})
        lr = f"{rates[-1]:g}" + (f" … {rates[0]:g}" if len(rates) > 1 else "") if rates else f"{o.lr:g}"
        told = say("updates_told", n=o.steps, kind=o.kind, lr=lr, seconds=seen.seconds)
        lines.append((say("updates"), told))
    if not made and seen.by_hand:
        lines.append((say("updates"), say("updates_by_hand", n=seen.by_hand, seconds=seen.seconds)))
    elif not made:
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
    for key in ("classes", "numbers"):
        most = getattr(seen.ceiling, key, None)
        if seen.ceiling is not None and most is not None and most < CERTAIN:
            told = say(f"ceiling_{key}", rows=seen.ceiling.rows, alike=seen.ceiling.alike, most=most)
            lines.append((say("ceiling"), told))
    return lines + _tried(seen.probe, say)


def _tried(probe: Probe, say: object) -> list[tuple[str, str]]:
    """What the experiments on a run came to."""
    lines = []

    def add(name: str, key: str, **values: object) -> None:
        lines.append((say(name), say(key, **values)))  # type: ignore[operator]

    if probe.memorised is not None:
        add("one batch", "one_batch_told", first=_figure(probe.memorised_from), last=_figure(probe.memorised))
    elif probe.again is not None and not any(what.startswith("one batch") for what in probe.failed):
        add("one batch", "one_batch_long")
    if probe.again is not None:
        plain = "" if probe.plain is None else say("plain", plain=_figure(probe.plain))  # type: ignore[operator]
        add("other rows", "other_rows_told", rows=probe.rows, again=_figure(probe.again), plain=plain)
    if probe.in_training is not None and probe.in_evaluation is not None:
        add("modes", "modes_told", training=_figure(probe.in_training), evaluation=_figure(probe.in_evaluation))
    if probe.rate is not None and probe.edge is not None:
        add("rates", "rates_told" if probe.edge < 0.9 * HIGHEST else "rates_held", rate=probe.rate, edge=probe.edge)
    if probe.steep is not None and probe.lowest is not None and probe.highest is not None:
        key = kind_of_place(probe.steep, probe.lowest, probe.highest)
        add("place", key, steep=f"{probe.steep:.2g}", low=f"{probe.lowest:.2g}", high=f"{probe.highest:.2g}")
    lines += [(say("not tried"), what) for what in probe.failed]  # type: ignore[operator]
    if probe.speed and probe.possible:
        values = dict(mine=probe.speed / 1e9, share=probe.speed / probe.possible, possible=probe.possible / 1e9)
        add("speed", "speed_told", **values)
    return lines


def kind_of_place(steep: float, lowest: float, highest: float) -> str:
    """slope, plateau, saddle or minimum: what a loss looks like around weights, see ``curvature.extremes``."""
    if steep > STEEP:
        return "slope"
    if max(abs(lowest), abs(highest)) < LEVEL:
        return "plateau"
    return "saddle" if lowest < -DOWNWARD * abs(highest) else "minimum"


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
