"""Clipping of gradients where it can't work: before they exist, after they were used, or while they are scaled."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

TIMES = 3
SHARE = 0.8  # of the calls
MEASURED = 1e6  # a limit so high clips nothing: it is called for the norm that it returns


def judge(seen: Signals) -> Iterator[Found]:
    passes, steps = sum(b.calls for b in seen.backwards), sum(o.steps for o in seen.optimizers)
    if not steps or 2 * passes < steps:  # gradients come another way, by torch.autograd.grad
        return
    for clip in seen.clips:
        if clip.calls < TIMES or clip.limit >= MEASURED or clip.limit <= 0:
            continue
        for times, en, zh in (
            (clip.before_backward, "before backward(): there was no gradient yet", "backward() 之前：这时还没有梯度"),
            (clip.after_step, "after step(): the gradients had been used already", "step() 之后：梯度已经用掉了"),
            (clip.before_unscale, "on gradients that the GradScaler had scaled up", "还带着 GradScaler 缩放的梯度上"),
        ):
            if times >= SHARE * clip.calls:
                numbers = {"times": times, "calls": clip.calls, "limit": clip.limit, "what": (en, zh)}
                yield Found(clip.place, numbers=numbers)
                break


rule = Rule(
    code="clip-misplaced",
    level="fault",
    kind="exact",
    area="optimizer",
    judge=judge,
    hides=("exploding-gradient",),
    en=Text(
        title="clipping the gradients has no effect where it stands",
        seen="{times} of {calls} calls were made {what}",
        why="clipping must see the gradients that the update is going to use: after backward() (and "
        "scaler.unscale_()), "
        "before step()",
        fix="put it between them: loss.backward(); clip_grad_norm_(model.parameters(), {limit:g}); optimizer.step() "
        "(with a "
        "GradScaler: scaler.unscale_(optimizer) first)",
        looks="The loss jumps as if there were no clipping, and another limit changes nothing.",
    ),
    zh=Text(
        title="梯度裁剪放错了位置，不起作用",
        seen="{calls} 次调用里有 {times} 次是在{what}",
        why="裁剪必须作用在即将用于更新的梯度上：在 backward()（以及 scaler.unscale_()）之后、step() 之前",
        fix="放在两者之间：loss.backward(); clip_grad_norm_(model.parameters(), {limit:g}); optimizer.step()（用 "
        "GradScaler 时先 "
        "scaler.unscale_(optimizer)）",
        looks="损失照样跳动，好像没有裁剪一样，改上限也没有变化。",
    ),
    wrong="""
optimizer.zero_grad()
loss = criterion(model(x), y)
nn.utils.clip_grad_norm_(model.parameters(), 1.0)
loss.backward()
optimizer.step()
""",
    right="""
optimizer.zero_grad()
loss = criterion(model(x), y)
loss.backward()
nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()
""",
)
