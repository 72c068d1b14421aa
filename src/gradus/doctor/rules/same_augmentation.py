"""Random changes of the data that repeat: the same random numbers in each worker of a loader, or in each epoch."""

from __future__ import annotations

from collections.abc import Iterator

from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals

WORKERS = ("two workers", "两个工作进程")
EPOCHS = ("two epochs", "两个 epoch")


def judge(seen: Signals) -> Iterator[Found]:
    for loader in seen.loaders:
        if loader.training and (loader.alike_workers or (loader.alike_epochs and loader.epochs > 1)):
            what = WORKERS if loader.alike_workers else EPOCHS
            yield Found(loader.place, numbers={"what": what, "workers": loader.workers})


rule = Rule(
    code="same-augmentation",
    level="fault",
    kind="probe",
    area="data",
    judge=judge,
    hides=("overfitting",),
    en=Text(
        title="the augmentation repeats the same random numbers",
        seen="an item was drawn 32 times in {what} of this loader: it varies, yet both drew the very same",
        why="each worker process begins with a copy of one generator: {workers} workers, and each epoch, apply "
        "the same "
        "random changes, so there is much less variety than it seems",
        fix="draw from torch's own generator (torch.rand(…)), which is seeded anew in each worker, or seed yours in "
        "worker_init_fn: np.random.default_rng(torch.initial_seed() % 2**32)",
        looks="Nothing fails; augmentation helps less than it should, and overfitting begins early.",
    ),
    zh=Text(
        title="数据增强重复使用同样的随机数",
        seen="让这个加载器的{what}各取同一样本 32 次：每次结果不同，但两边取到的完全一样",
        why="每个工作进程一开始都复制同一个随机数生成器：{workers} 个进程、每个 epoch 做的都是同样的随机变换，"
        "实际多样性远小于看上去的",
        fix="改用 torch 自带的随机数（torch.rand(…)），它在每个工作进程里会重新设种子；或在 worker_init_fn 里设置："
        "np.random.default_rng(torch.initial_seed() % 2**32)",
        looks="不会报错；增强的效果不如预期，过拟合来得早。",
    ),
    wrong="""
class Noisy(Dataset):
    def __init__(self, x):
        self.x, self.rng = x, np.random.default_rng(0)     # copied into each worker
    def __getitem__(self, i):
        return self.x[i] + self.rng.normal(0, 0.1, self.x[i].shape)
""",
    right="""
class Noisy(Dataset):
    def __init__(self, x):
        self.x = x
    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(self.x[i].shape)
""",
)
