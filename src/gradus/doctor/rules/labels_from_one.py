"""Class labels that run from 1 to C, for a model of C + 1 outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import LossSite, Signals

ENOUGH = 10  # labels of the rarest other class: then class 0 isn't merely rare


def judge(seen: Signals) -> Iterator[Found]:
    for site in seen.training:
        c = site.classes
        if c < 3 or site.ignore_index == 0 or site.labels[0]:
            continue
        alike = [other for other in seen.losses if other.classes == c]
        labels = sum((other.labels for other in alike), Counter[int]())
        if labels[0] or any(site.labels[k] < ENOUGH for k in range(1, c)):
            continue
        yield Found(site.place, level=None if _of_rows(seen, site) else "note", numbers={"outputs": c, "last": c - 1})
        return


def _of_rows(seen: Signals, site: LossSite) -> bool:
    """Whether each row has one label: of tokens and of pixels, class 0 may be kept for padding or for none."""
    rows = {model.shape[0] for model in seen.models if model.shape}
    return len(site.target_shape) == 1 and site.target_shape[0] in rows


rule = Rule(
    code="labels-from-one",
    level="likely",
    kind="statistic",
    area="data",
    judge=judge,
    en=Text(
        title="the labels are counted from 1",
        seen="the model has {outputs} outputs; labels 1 to {last} all occur, label 0 never does",
        why="PyTorch counts classes from 0: one output is never right and is learnt for nothing, and with as many "
        "outputs as classes the last label would be out of range",
        fix="y = y - 1, and one output less (unless class 0 is meant to be empty)",
        looks="It trains, or fails with 'Target out of bounds' once the model has the true number of classes.",
    ),
    zh=Text(
        title="标签从 1 开始编号",
        seen="模型有 {outputs} 个输出；标签 1 到 {last} 都出现过，标签 0 从未出现",
        why="PyTorch 的类别从 0 开始：有一个输出永远不会是正确答案，白白学习；若输出数等于真实类别数，"
        "最后一个标签会越界",
        fix="y = y - 1，并减少一个输出（除非类别 0 本来就该空着）",
        looks="能训练；一旦输出数改成真实类别数，就报 'Target out of bounds'。",
    ),
    wrong="""
labels = torch.tensor(annotations)                # 1 … 10
model = Net(num_classes=int(labels.max()) + 1)
""",
    right="""
labels = torch.tensor(annotations) - 1            # 0 … 9
model = Net(num_classes=int(labels.max()) + 1)
""",
)
