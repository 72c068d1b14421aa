"""The same work on many things by several processes, its answers in the order of the things; and a bar of how far.

The processes need nothing but numpy, so that they can be forked beside torch's threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gradus.errors import UserError

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")

AHEAD = 2  # things that each process has waiting for it


def in_order(
    work: Callable[[Thing], Answer], things: Iterable[Thing], workers: int, *, name: str
) -> Generator[Answer, None, None]:
    """What ``work`` answers to each thing, in their order, however many processes do it; 0 does it here.

    ``work`` and what it holds reach a process once, and few answers wait at a time, so that memory stays bounded. An
    error in a process is raised here, in the place of its answer. The processes end with this one, however it ends,
    and when the generator is closed.

    Args:
        name: what is worked on, for the message where a process died.

    Raises:
        UserError: where a process died.
    """
    if workers == 0:
        yield from map(work, things)
        return
    waiting: deque[Future[Answer]] = deque()
    with _quiet_forks():
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context(), _begin, (work,))
        try:
            for thing in things:
                waiting.append(pool.submit(_call, thing))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"{name}: a process that prepares it died, perhaps for want of memory. Try fewer of them (workers=1)."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def bar_of_bytes(words: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar where a person looks on; the function that it gives is told of bytes as they are done.

    Args:
        total: how many there are; None where it isn't known, and the bar only shows that something goes on.
    """
    console = Console(stderr=True)
    columns: list[ProgressColumn] = [TextColumn(f"[bold cyan]{words:<11}[/]"), BarColumn(bar_width=24)]
    if total is not None:
        columns += [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda more: bar.advance(task, more)


_mine: list[Callable[[Any], Any]] = []  # the work of a process that was begun here


def _begin(work: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    _mine[:] = [work]


def end_with_parent() -> None:
    """Have this process end when the one that began it is gone, killed perhaps: alone it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(parent: int) -> None:
    wait([parent])
    os._exit(1)


def _call(thing: Any) -> Any:
    return _mine[0](thing)


@contextlib.contextmanager
def _quiet_forks() -> Iterator[None]:
    """No warnings of forking beside threads, which these processes need none of.

    Python 3.12 warns itself; the tokenizers library does where it isn't told that a process is to be one thread.
    """
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
