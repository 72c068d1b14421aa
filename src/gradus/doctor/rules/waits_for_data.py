"""The loop mostly waits for its data loader."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

SHARE = 0.5  # of the time: a feasibility sketch measured 0.11 for a sound program, 0.73 for a slow reader
EACH = 0.01  # seconds of waiting per batch: below, the step is as short as a batch's own handling
WORKING = (0.05, 0.7)  # the two of a loader with workers, which a small model outruns on a busy machine
ALL = 0.3  # seconds of waiting in all
BATCHES = 20


def judge(seen: Signals) -> Iterator[Found]:
    for loader in seen.loaders:
        if not loader.training or loader.timed < BATCHES:
            continue
        each, share = loader.waited / loader.timed, loader.waited / max(loader.waited + loader.busy, 1e-9)
        slow = each >= WORKING[0] and share >= WORKING[1] if loader.workers else each >= EACH and share >= SHARE
        if slow and loader.waited >= ALL:
            numbers = {"share": share, "each": 1000 * each, "workers": loader.workers}
            yield Found(loader.place, numbers=numbers)


rule = Rule(
    code="waits-for-data",
    level="likely",
    kind="statistic",
    area="speed",
    judge=judge,
    en=Text(
        title="training waits for its data",
        seen="{share:.0%} of the loop's time went by waiting for the next batch, {each:.0f} ms each ({workers} "
        "workers)",
        why="the model stands still meanwhile: a faster device or a smaller model changes nothing",
        fix="read and prepare once, before the loop, where the data fit into memory; else "
        "DataLoader(…, num_workers=4, persistent_workers=True)",
        looks="Epochs are slow, and the processor or GPU is hardly used.",
    ),
    zh=Text(
        title="训练大部分时间在等数据",
        seen="循环中 {share:.0%} 的时间花在等下一个批次上，每次 {each:.0f} 毫秒（{workers} 个工作进程）",
        why="等待期间模型什么也没算：换更快的设备或更小的模型都没有用",
        fix="数据放得进内存时，在循环前一次读好、处理好；否则用 DataLoader(…, num_workers=4, persistent_workers=True)",
        looks="每个 epoch 都很慢，而 CPU 或 GPU 几乎闲着。",
    ),
    wrong="""
class Records(Dataset):
    def __getitem__(self, i):
        return decode(read_from_disk(self.names[i]))      # again in each epoch
""",
    right="""
class Records(Dataset):
    def __init__(self, names):
        self.items = [decode(read_from_disk(name)) for name in names]
    def __getitem__(self, i):
        return self.items[i]
""",
)
