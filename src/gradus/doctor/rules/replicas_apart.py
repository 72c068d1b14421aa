"""Several processes that are to train one model, and train one each: their gradients are never averaged."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Replicas, Signals

APART = 1e-4  # of a weight's norm: equal replicas differ by nothing, or by the last digits

PAST = (
    "{n} training passes called the module inside DistributedDataParallel, and none the wrapper, which averages",
    "{n} 次训练前向都直接调用了 DistributedDataParallel 里面的模块，没有一次经过负责平均梯度的外层",
)
KEPT_BACK = (
    "all {n} training passes were made within no_sync(), which keeps gradients from being averaged",
    "全部 {n} 次训练前向都在 no_sync() 之内，梯度没有平均",
)
ALONE = (
    "the rows are dealt among {n} processes, but no DistributedDataParallel holds the model, and nothing was sent",
    "样本分给了 {n} 个进程，但模型没有放进 DistributedDataParallel，进程之间也没有任何通信",
)
UNLIKE = (
    "{n} training passes went through DistributedDataParallel, which averages gradients, and yet the weights differ",
    "{n} 次训练前向都经过了负责平均梯度的 DistributedDataParallel，权重却不相同",
)
DIFFER = (
    "; after {update} updates weights of the processes differ by {apart:.2%}",
    "；{update} 次更新之后，各进程的权重相差 {apart:.2%}",
)
CALL = (
    "call the wrapper: model = DistributedDataParallel(net), then model(x)",
    "调用外层：model = DistributedDataParallel(net)，然后 model(x)",
)
SYNC = (
    "leave no_sync() out for the last batch before each optimizer.step()",
    "每次 optimizer.step() 之前的最后一个 batch 不要放在 no_sync() 里",
)
WRAP = (
    "model = DistributedDataParallel(model), before the optimizer is made",
    "在创建优化器之前：model = DistributedDataParallel(model)",
)
EQUAL = (
    "look for what each process does by itself between backward() and the next pass: other learning rates, weights "
    "set or drawn by hand, clipping by a number of its own",
    "检查各进程在 backward() 与下一次前向之间各自做了什么：学习率不同、手动改写或随机化权重、各自裁剪等",
)


def judge(seen: Signals) -> Iterator[Found]:
    replicas = seen.replicas
    if not seen.updates or replicas.sharded or (replicas.averaged and replicas.apart <= APART):
        return
    found = _cause(seen, replicas)
    if found is None:
        return
    (cause, n, fix), place = found, replicas.alone if found[0] is ALONE else replicas.place
    several = replicas.processes > 1
    differ = several and replicas.compared and replicas.apart > APART
    numbers = {
        "cause": tuple(words.format(n=n) for words in cause), "fix": fix,
        "differ": tuple(words.format(update=replicas.compared, apart=replicas.apart) for words in DIFFER)
        if differ else ("", ""),
    }  # fmt: skip
    yield Found(place, level="fault" if differ else "likely" if several else "note", numbers=numbers)


def _cause(seen: Signals, replicas: Replicas) -> tuple[tuple[str, str], int, tuple[str, str]] | None:
    if replicas.averaged:
        return None if replicas.sent else (UNLIKE, replicas.averaged, EQUAL)
    if replicas.past and not replicas.kept_back and not replicas.sent:
        return PAST, replicas.past, CALL
    if replicas.kept_back and not replicas.sent:
        return KEPT_BACK, replicas.kept_back, SYNC
    shares = max((loader.shares for loader in seen.loaders if loader.training), default=0)
    if replicas.processes > 1 and shares > 1 and not replicas.wrapped and not replicas.sent:
        return ALONE, replicas.processes, WRAP
    return None


rule = Rule(
    code="replicas-apart",
    level="fault",
    kind="exact",
    area="model",
    judge=judge,
    hides=("parameter-not-in-optimizer", "overfitting", "module-never-used"),
    en=Text(
        title="the processes each train a model of their own",
        seen="the processes don't stay equal: {cause}{differ}",
        why="each goes its own way, and what is saved is the model of one of them: what the others learn is lost. "
        "One process alone has no others: there it does no harm yet",
        fix="keep them equal: {fix}",
        looks="Nothing fails, and each process's loss falls. More processes bring no better model; where they "
        "evaluate the same rows, their figures differ.",
    ),
    zh=Text(
        title="各个进程在各自训练自己的模型",
        seen="各进程的模型没有保持一致：{cause}{differ}",
        why="每个进程各走各的，保存下来的只是其中一个的模型，其余进程学到的都丢了。只有一个进程时暂时没有影响",
        fix="让它们保持一致：{fix}",
        looks="不会报错，每个进程的损失都在下降。进程再多模型也不会更好；各进程在同一批数据上评估，结果却不同。",
    ),
    wrong="""
model = DistributedDataParallel(net)
for x, y in loader:
    loss = criterion(model.module(x), y)      # past the wrapper
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
""",
    right="""
model = DistributedDataParallel(net)
for x, y in loader:
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
""",
)
