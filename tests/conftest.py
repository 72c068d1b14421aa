"""What all tests share: where real data lie, a cache of their own, and the command line called in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("GRADUS_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty directory; timings are kept for the session, as on a person's machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("GRADUS_DATA", str(DATA))
    monkeypatch.setenv("GRADUS_OFFLINE", "1")  # no test asks the net for anything


@pytest.fixture
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
