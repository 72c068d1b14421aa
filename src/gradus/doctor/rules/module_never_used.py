"""A module with weights that is never called, or whose result goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.rules.gradient_cut import cuts_of, unreached, whole
from gradus.doctor.rules.parameter_not_in_optimizer import names_of, size_of
from gradus.doctor.signals import ParameterSeen, Signals

PASSES = 10  # training passes of its model
LOOKS = 3  # passes that were looked at in which it was called

NEVER = ("no pass called it", "从来没有被调用过")
UNUSED = (
    "it was called, but neither the loss nor what the model returns depends on its result",
    "它被调用了，但损失和模型的输出都不依赖它的结果",
)
OUTSIDE = ("it was called, but the loss never depended on its result", "它被调用了，但损失从来没有用到它的结果")


def judge(seen: Signals) -> Iterator[Found]:
    weights = unreached(seen)
    told: dict[tuple[Level, tuple[str, str]], list[ParameterSeen]] = {}
    for p in weights:
        if p.model is None or cuts_of(seen, p) or seen.models[p.model].training < PASSES:
            continue
        found = _how(seen, p, weights)
        if found is not None:
            told.setdefault(found, []).append(p)
    for (level, (en, zh)), own in told.items():
        model = seen.models[own[0].model or 0]
        numbers = {"weights": size_of(own), "looks": max(p.looks for p in own), "model": model.kind, "what": (en, zh)}
        yield Found(own[0].first_place or model.place, names_of(own), level=level, numbers=numbers)


def _how(seen: Signals, p: ParameterSeen, weights: list[ParameterSeen]) -> tuple[Level, tuple[str, str]] | None:
    assert p.model is not None
    owner = p.name.rpartition(".")[0]
    if owner and owner in seen.models[p.model].never_called:
        return "note" if p.loaded else "likely", NEVER
    if p.executed < LOOKS or seen.compiled:
        return None
    others = [q for q in seen.parameters if q.model == p.model and q.name.rpartition(".")[0] == owner]
    part = any(not any(q is r for r in weights) for q in others)  # the loss leads to its other weights
    if whole(seen, p):
        return "likely", OUTSIDE
    if p.offered:  # a head that the loss doesn't use: perhaps not yet
        return "note", OUTSIDE
    return ("note" if part or p.loaded or not owner else "fault"), UNUSED


rule = Rule(
    code="module-never-used",
    level="likely",
    kind="exact",
    area="model",
    judge=judge,
    hides=("optimisation-stuck", "model-too-small", "vanishing-gradient"),
    en=Text(
        title="a part of the model takes no part in training: {subject}",
        seen="{model} registers it, and the optimizer has its {weights} weights; {what}, and none of the {looks} "
        "losses that were looked at led to it",
        why="its weights stay random; the network that is trained isn't the one that was designed",
        fix="in forward(), hand its result on to the next layer (look at which variable each line reads); or delete "
        "the "
        "module if it isn't wanted",
        looks="Training works, but the model is weaker than its number of parameters suggests; DistributedDataParallel "
        "complains of unused parameters.",
    ),
    zh=Text(
        title="模型有一部分没有参与训练：{subject}",
        seen="{model} 注册了它，优化器里有它的 {weights} 个参数，但{what}；检查过的 {looks} 次损失没有一次能回溯到它",
        why="它的参数一直是随机值；实际训练的网络并不是设计的那个网络",
        fix="在 forward() 里把它的结果传给下一层（检查每一行读的是哪个变量）；如果不需要，就删掉这个模块",
        looks="能训练，但效果配不上它的参数量；用 DistributedDataParallel 会报告有未使用的参数。",
    ),
    wrong="""
def forward(self, x):
    h = torch.relu(self.conv1(x))
    h = self.conv2(x)
    return torch.relu(h + x)
""",
    right="""
def forward(self, x):
    h = torch.relu(self.conv1(x))
    h = self.conv2(h)
    return torch.relu(h + x)
""",
)
