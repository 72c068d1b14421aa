"""A worker process of a DataLoader failed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradus.doctor.places import is_own, place_in
from gradus.doctor.rule import Found, Rule, Text
from gradus.doctor.signals import Signals


def judge(seen: Signals) -> Iterator[Found]:
    error = seen.error
    if error is None:
        return
    if error.in_worker:
        last = [line for line in error.message.strip().splitlines() if line.strip()][-1].strip()
        lines = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', error.message)
        own = [(f, n) for f, n, _ in lines if is_own(f)]
        place = place_in(*own[-1]) if own else error.place
        yield Found(
            place,
            numbers={
                "last": last,
                "change": (
                    "num_workers=0 shows it in this process, where a debugger reaches it",
                    "num_workers=0 会让它在本进程中出现，便于调试",
                ),
            },
        )
    elif "DataLoader worker" in error.message and "exited unexpectedly" in error.message:
        yield Found(
            error.place,
            numbers={
                "last": error.message.splitlines()[0],
                "change": (
                    "lower num_workers or the batch size: a worker was killed, mostly for want of memory",
                    "减小 num_workers 或批大小：子进程被杀，多半是内存不够",
                ),
            },
        )


rule = Rule(
    code="error-worker",
    level="fault",
    kind="exact",
    area="error",
    judge=judge,
    hides=("initial-loss-high", "regression-on-classes", "module-never-used"),
    en=Text(
        title="reading the data failed in a worker process",
        seen="{last}",
        why="the error arose in __getitem__ or in the collating of a batch, in another process",
        fix="mend that line; {change}",
        looks="RuntimeError: Caught … in DataLoader worker process 0.",
    ),
    zh=Text(
        title="读取数据的子进程出错",
        seen="{last}",
        why="错误出在 __getitem__ 或拼批的过程里，但那是在另一个进程中",
        fix="修改那一行；{change}",
        looks="报错 RuntimeError: Caught … in DataLoader worker process 0。",
    ),
    wrong="""
def __getitem__(self, i):
    return self.rows[i + 1]      # beyond the end for the last one
""",
    right="""
def __getitem__(self, i):
    return self.rows[i]
""",
)
