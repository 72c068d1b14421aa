"""Big texts killed, interrupted, written to a full disk, read while they change: told in one line, or gone on with."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_corpus import _small_pieces, as_asked, files_of_cache, story, written  # noqa: F401

from gradus.data import prepare_text, text_sample
from gradus.data.cache import cache_directory
from gradus.data.corpus import corpus
from gradus.data.prepare_text import prepared
from gradus.data.text_files import find_texts, pieces_of, texts_of
from gradus.errors import UserError

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks at processes in /proc")

PROGRAM = """
import resource, sys, time
from gradus.data import prepare_text, text_files, text_store
from gradus.data.prepare_text import Asked, prepared, texts_of
from gradus.errors import UserError
text_files.PIECE, text_store.SYNC_SECONDS = 1000, 0.0
prepare_text.texts_of = lambda *a: (time.sleep(0.005), texts_of(*a))[1]  # time enough to be killed in
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    prepared("text.txt", Asked("{tokens}", {size}, {lines}, None, 0.05, 0.05, 0), None, 2)
except UserError as error:
    print(error)
    sys.exit(2)
print("done")
"""


def begun(
    *, tokens: str = "characters", size: int | None = None, lines: bool = True, limit: int = 0
) -> subprocess.Popen[str]:
    """A process of its own that prepares text.txt with two workers."""
    program = PROGRAM.format(tokens=tokens, size=size, lines=lines, limit=limit)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def pieces_done() -> int:
    """How many pieces the journal under way tells of."""
    for journal in (cache_directory() / "corpora").glob("*.part/journal"):
        with contextlib.suppress(FileNotFoundError):
            lines = [line for line in journal.read_text().split("\n")[:-1] if line]
            return int(json.loads(lines[-1])["pieces"]) if lines else 0
    return 0


def wait_for(pieces: int, process: subprocess.Popen[str]) -> None:
    while pieces_done() < pieces:
        assert process.poll() is None, ended(process)
        time.sleep(0.002)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(process: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What preparing text.txt by lines in characters comes to; nothing of it is left in the cache of the test."""
    written(story(2_600))
    with monkeypatch.context() as patched:
        patched.setenv("GRADUS_CACHE", str(tmp_path / "calm"))
        prepared("text.txt", as_asked(lines=True), None, 0)
        files = files_of_cache()
    assert len(files) == 7
    return files


def test_killed_at_any_instant_it_is_gone_on_with_to_the_same_bytes(undisturbed: dict[str, bytes]) -> None:
    total = len(pieces_of(find_texts("text.txt"), lines=True))
    assert total > 60
    for share in (0.1, 0.4, 0.7):
        process = begun()
        wait_for(int(share * total), process)
        process.kill()
        ended(process)
    assert not (cache_directory() / "corpora").joinpath(next(iter(undisturbed)).split("/")[0]).exists()
    status, out, err = ended(begun())
    assert (status, out, err) == (0, "done\n", "")
    assert files_of_cache() == undisturbed


def test_what_was_done_is_not_done_again(undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    total = len(pieces_of(find_texts("text.txt"), lines=True))
    process = begun()
    wait_for(total // 2, process)
    process.kill()
    ended(process)
    done, work = pieces_done(), []
    monkeypatch.setattr(prepare_text, "texts_of", lambda *a: work.append(a) or texts_of(*a))
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert len(work) <= total - done + 1
    assert files_of_cache() == undisturbed


def test_a_journal_cut_off_or_ahead_of_its_files_is_not_believed(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(40, process)
    process.kill()
    ended(process)
    partial = next((cache_directory() / "corpora").glob("*.part"))
    journal = partial / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]) + lines[-1][:25])
    with (partial / "tokens").open("r+b") as file:
        file.truncate(3_000)  # as after a power cut that lost what was never synced
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert files_of_cache() == undisturbed


@needs_proc
def test_ctrl_c_ends_it_and_every_process_of_it_and_it_is_gone_on_with(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(20, process)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status in (-signal.SIGINT, 130, 1)
    assert err.strip().endswith("KeyboardInterrupt")
    assert not any(map(alive, workers))
    prepared("text.txt", as_asked(lines=True), None, 0)
    assert files_of_cache() == undisturbed


@needs_proc
def test_workers_end_with_a_killed_process_and_let_its_lock_go(undisturbed: dict[str, bytes]) -> None:
    process = begun()
    wait_for(20, process)
    workers = workers_of(process)
    process.kill()
    until = time.monotonic() + 20
    try:
        while any(map(alive, workers)):
            assert time.monotonic() < until, "a worker outlived the process that began it"
            time.sleep(0.02)
    finally:
        for worker in filter(alive, workers):
            os.kill(worker, signal.SIGKILL)
        ended(process)


def test_two_processes_at_once_make_one_of_it(undisturbed: dict[str, bytes]) -> None:
    both = [begun(), begun()]
    answers = [ended(process) for process in both]
    assert [(status, out) for status, out, _ in answers] == [(0, "done\n")] * 2
    waited = [err for _, _, err in answers if err]
    assert len(waited) <= 1
    assert all("another process is preparing it" in err for err in waited)
    assert files_of_cache() == undisturbed


def test_a_full_disk_is_one_line_and_what_is_done_is_kept(undisturbed: dict[str, bytes]) -> None:
    size = len(next(content for name, content in undisturbed.items() if name.endswith("/tokens")))
    status, out, err = ended(begun(limit=size // 2))
    assert (status, err) == (2, "")
    assert out.count("\n") == 1
    assert "can't be kept there: File too large. Make room" in out
    assert pieces_done() > 0
    assert ended(begun())[:2] == (0, "done\n")
    assert files_of_cache() == undisturbed


# bad texts


def refused(source: str | Path, **options: object) -> str:
    with pytest.raises(UserError) as error:
        corpus(source, **{"tokens": "characters", **options})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not list((cache_directory() / "corpora").glob("*/manifest.json"))
    return str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", ["lines", "blocks"])
def test_the_first_byte_that_is_no_utf8_is_told_with_its_line(workers: int, rows: str) -> None:
    lines = story(500).encode().split(b"\n")
    lines[333] += b"caf\xe9 au lait"
    lines[400] += b"\xff"
    Path("bad.txt").write_bytes(b"\n".join(lines))
    assert refused("bad.txt", workers=workers, rows=rows).startswith("bad.txt, line 334: byte 0xe9 is not UTF-8 text")


def test_a_file_that_isnt_text_or_isnt_there_is_one_line() -> None:
    written(story(100) + "a\x00b\n", "zero.txt")
    assert refused("zero.txt").startswith("zero.txt, line 101: binary data")
    Path("wide.txt").write_bytes("text".encode("utf-16"))
    assert refused("wide.txt").startswith("wide.txt: UTF-16")
    assert refused(written("", "none.txt")).startswith("none.txt: the file is empty")
    assert refused("absent.txt").startswith("absent.txt: no such file")
    Path("folder").mkdir()
    assert refused("folder").startswith("folder: no text files")
    Path("cut.txt.gz").write_bytes(gzip.compress(story(500).encode())[:-200])
    assert refused("cut.txt.gz").startswith("cut.txt.gz: the gzip file is cut short")
    with pytest.raises(UserError, match=r"^blank.txt: 0 tokens leave no row to train on"):
        corpus(written("\n\n \n", "blank.txt"), rows="lines")


def test_a_file_that_shrinks_grows_or_goes_while_it_is_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(reads: int, act: Callable[[], object]) -> None:
        count = iter(range(1_000_000))

        def look(*a: object) -> object:
            if next(count) == reads:
                act()
            return texts_of(*a)  # type: ignore[arg-type]

        for module in (prepare_text, text_sample):
            monkeypatch.setattr(module, "texts_of", look)

    path = written(story(300))
    after(20, lambda: os.truncate(path, 3_000))
    assert "changed while it was read" in refused(path, workers=0)
    written(story(300))
    after(20, lambda: path.write_text(path.read_text() + "more\n"))
    assert "changed while it was read" in refused(path, workers=0)
    written(story(300))
    after(20, path.unlink)
    assert "can't be read: No such file" in refused(path, workers=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told() -> None:
    path = written(story(10))
    path.chmod(0)
    assert refused(path).startswith("text.txt: can't be read: Permission denied")


def test_a_worker_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def die(*a: object) -> object:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    monkeypatch.setattr(prepare_text, "texts_of", die)
    assert "a process that prepares it died" in refused(written(story(300)), workers=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens": "letters"}, "no tokenizer 'letters'"),
        ({"rows": "block"}, "no rows of 'block'. Did you mean 'blocks'?"),
        ({"length": 2}, "three tokens at least"),
        ({"valid": 1.5}, "shares of the text"),
        ({"valid": 0.5, "test": 0.5}, "leave no text to train on"),
        ({"size": 3}, "a vocabulary of 3"),
        ({"length": 100_000}, "leave no row to train on"),
    ],
)
def test_settings_without_sense_are_told(options: dict[str, object], words: str) -> None:
    path = written(story(50))
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        corpus(path, **{"tokens": "characters", **options})  # type: ignore[arg-type]
