"""What all tests share: where real data lie, a cache of their own, and the command line called in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes run the tests: one thread each, set before torch is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell that runs the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes that tests start would be deaf to Ctrl-C, too

DATA = Path(os.environ.get("GRADUS_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Timings are kept for the session, as on a person's machine, and hold for what a module sets up for its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADUS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("GRADUS_DATA", str(DATA))
        patch.setenv("GRADUS_OFFLINE", "1")  # no test asks the net for anything
        yield


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """A file or directory of the real test data; the test is skipped, and says so, where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"the real data {name} are not in {DATA} (set GRADUS_DATA)")
        return path

    return find


@pytest.fixture
def gradus(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``gradus ARGUMENTS…`` in this process: exit status, standard output, standard error."""
    from gradus.cli import main
    from gradus.training import progress

    def run(*arguments: object) -> tuple[int, str, str]:
        progress._console.clear()
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        progress._console.clear()  # --json left it on standard error
        out = capsys.readouterr()
        return status, out.out, out.err

    return run


LONGEST = (
    "test_text_recipes",
    "test_bed",
    "test_recipes",
    "test_world",
    "test_resume",
    "test_report",
    "test_serving",
    "test_kill",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no process is left with one of them when the others are done."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
