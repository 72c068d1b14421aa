"""A checkpoint loaded with strict=False whose names don't fit: weights stay untrained, and nothing is said."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import Load, Signals

COUNTERS = ("num_batches_tracked", "position_ids")  # that some versions don't keep
ALL = 0.9  # of the model's names: nothing was loaded at all
ALIKE = 0.8  # of the missing ones, whose shape an unexpected one has


def judge(seen: Signals) -> Iterator[Found]:
    for load in seen.loads:
        missing = [name for name in load.missing if not name.endswith(COUNTERS)]
        if not missing:
            continue
        pairs = _renamed(missing, load.unexpected)
        numbers = {
            "missing": len(missing), "total": load.total, "left": len(load.unexpected),
            "first": (pairs[0][0] if pairs else missing[0]), "given": _given(load, pairs),
        }  # fmt: skip
        yield Found(load.place, missing[0].rpartition(".")[0] or missing[0], _level(load, missing, pairs), numbers)


def _level(load: Load, missing: list[str], pairs: list[tuple[str, str]]) -> Level:
    if load.unexpected and (len(missing) >= ALL * load.total or (pairs and load.alike)):
        return "fault"
    if load.alike >= max(2, ALIKE * len(missing)) and len(load.unexpected) >= len(missing):
        return "likely"
    return "note"  # a new head, adapters: as it should be


def _given(load: Load, pairs: list[tuple[str, str]]) -> str:
    return pairs[0][1] if pairs else ", ".join(load.unexpected[:1]) or "–"


def _renamed(missing: list[str], unexpected: list[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only by parts left out of one of them: ``trunk.0.bias``, ``trunk.module.0.bias``."""
    found = []
    for name in missing:
        parts = name.split(".")
        for other in unexpected:
            more = other.split(".")
            short, long = (parts, more) if len(parts) <= len(more) else (more, parts)
            if len(short) > 1 and short[-1] == long[-1] and _within(short, long):
                found.append((name, other))
                break
    return found


def _within(short: list[str], long: list[str]) -> bool:
    rest = iter(long)
    return all(part in rest for part in short)


rule = Rule(
    code="partial-load",
    level="likely",
    kind="exact",
    area="model",
    judge=judge,
    hides=("initial-loss-high",),
    en=Text(
        title="a checkpoint was loaded only in part",
        seen="{missing} of the model's {total} tensors weren't in it, and {left} of its tensors weren't used: the "
        "model "
        "wants {first}, the checkpoint has {given}",
        why="with strict=False a name that doesn't fit is passed over in silence, and that weight keeps its random "
        "value",
        fix="make the names fit, e.g. {{k.replace('module.', ''): v for k, v in state.items()}}, and load with "
        "strict=True; "
        "where a part is meant to be new, look at what load_state_dict returns",
        looks="After loading, the model is far worse than it was when it was saved.",
    ),
    zh=Text(
        title="检查点只加载了一部分",
        seen="模型的 {total} 个张量里有 {missing} 个在检查点里找不到，检查点里有 {left} 个没用上：模型要的是 {first}，"
        "检查点里是 {given}",
        why="strict=False 时名字对不上会被悄悄跳过，那些权重就还是随机值",
        fix="让名字对上，例如 {{k.replace('module.', ''): v for k, v in state.items()}}，并用 strict=True 加载；如果确"
        "实有新加的部分，"
        "请检查 load_state_dict 的返回值",
        looks="加载之后，模型比保存时差得多。",
    ),
    wrong="""
model.load_state_dict(torch.load("best.pt"), strict=False)  # saved from DataParallel(model)
""",
    right="""
state = torch.load("best.pt")
model.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
""",
)
