"""Whatever server, network or disk do: the right bytes in their place, or one clear line and nothing half-placed."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import (
    CONTENT,
    HALF,
    WRONG,
    Answer,
    Site,
    another_range,
    chunked,
    chunked_cut,
    cut,
    endless,
    endless_header,
    fine,
    gibberish,
    length,
    lost_rest,
    no_ranges,
    of_a_longer_file,
    other_bytes,
    redirect,
    reset,
    silent,
    stall,
    status,
    then_fine,
    unmeasured,
    unsatisfiable,
    web_page,
)

import gradus.data
from gradus.data.download import Patience, Remote, fetch
from gradus.data.part import held
from gradus.errors import UserError

QUICK = Patience(silence=5, tries=3, pause=0.01)  # a busy machine may be silent for a while
STALLED = Patience(silence=0.5, tries=3, pause=0.01)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("GRADUS_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "*")
    server = Site()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


RIGHT: dict[str, tuple[list[Any], bytes, list[str | None]]] = {
    # what the addresses do, what an earlier try left, and the Range of each request
    "nothing wrong": ([fine], b"", [None]),
    "truncated body": ([then_fine(cut)], b"", [None, "bytes=100000-"]),
    "stall in the middle": ([then_fine(stall)], b"", [None, "bytes=100000-"]),
    "stall before the header": ([silent, fine], b"", [None] * 4),
    "redirect": ([redirect("/fine")], b"", [None, None]),
    "redirect of a rest": ([redirect("/fine")], CONTENT[:HALF], ["bytes=100000-"] * 2),
    "redirect to a host that is down": ([redirect("http://127.0.0.1:1/file"), fine], b"", [None] * 4),
    "redirect in a circle": ([redirect("/file-0"), fine], b"", [None] * 6),
    "redirect to a file of this machine": ([redirect("file:///etc/hostname"), fine], b"", [None] * 2),
    "redirect to ftp": ([redirect("ftp://127.0.0.1/file"), fine], b"", [None] * 2),
    "length missing": ([unmeasured], b"", [None]),
    "length negative": ([length(-5)], b"", [None]),
    "length that is no number": ([length("many")], b"", [None]),
    "length too large": ([length(400_000), fine], b"", [None] * 2),
    "length too small": ([length(200_000), fine], b"", [None] * 2),
    "chunked body": ([chunked], b"", [None]),
    "chunked body cut": ([then_fine(chunked_cut)], b"", [None, "bytes=100000-"]),
    "wrong bytes, then the mirror": ([other_bytes, fine], b"", [None, None]),
    "a web page, then the mirror": ([web_page, fine], b"", [None, None]),
    "404, then the mirror": ([status(404), fine], b"", [None, None]),
    "500, then fine": ([then_fine(status(500))], b"", [None, None]),
    "503 twice, then fine": ([then_fine(status(503), 2)], b"", [None] * 3),
    "connection refused, then the mirror": (["http://127.0.0.1:1/file", fine], b"", [None]),
    "no such host, then the mirror": (["http://nowhere.invalid/file", fine], b"", [None]),
    "a name that no host can have": (["http://" + "x" * 70 + ".invalid/file", fine], b"", [None]),
    "going on with a part": ([fine], CONTENT[:HALF], ["bytes=100000-"]),
    "going on at the mirror": ([cut, fine], b"", [None, "bytes=100000-", "bytes=100000-", "bytes=100000-"]),
    "a server without ranges": ([no_ranges], CONTENT[:HALF], ["bytes=100000-"]),
    "a server without ranges but with wrong bytes": ([other_bytes, fine], CONTENT[:HALF], ["bytes=100000-", None]),
    "a server that refuses ranges": ([unsatisfiable], CONTENT[:HALF], ["bytes=100000-", None]),
    "another range than was asked for": ([another_range], CONTENT[:HALF], ["bytes=100000-", None]),
    "a range of a longer file": ([of_a_longer_file], CONTENT[:HALF], ["bytes=100000-", None]),
    "a rest shorter than promised": ([then_fine(lost_rest)], CONTENT[:HALF], ["bytes=100000-", "bytes=150000-"]),
    "a part that is complete": ([fine], CONTENT, []),
    "a part of the right length with wrong bytes": ([fine], WRONG, [None]),
    "a part of other content": ([fine], WRONG[:HALF], ["bytes=100000-", None]),
    "a part that is too long": ([fine], CONTENT + b"more", [None]),
    "an endless body, then the mirror": ([endless, fine], b"", [None, None]),
    "no HTTP, then the mirror": ([gibberish, fine], b"", [None] * 4),
    "an endless header, then the mirror": ([endless_header, fine], b"", [None] * 4),
}


@pytest.mark.parametrize("case", RIGHT)
def test_faults_that_end_in_the_right_bytes(case: str, site: Site, tmp_path: Path) -> None:
    addresses, left, ranges = RIGHT[case]
    directory = tmp_path / "cache" / "set"
    directory.mkdir(parents=True)
    if left:
        (directory / "file.part").write_bytes(left)
    fetch([remote(site, addresses)], directory, STALLED if "stall" in case else QUICK)
    assert (directory / "file").read_bytes() == CONTENT
    assert os.listdir(directory) == ["file"]
    assert [asked for _, asked, _ in site.asked] == ranges
    if left == CONTENT[:HALF] and case in ("going on with a part", "redirect of a rest"):
        assert sum(sent for _, _, sent in site.asked) == len(CONTENT) - HALF


def test_a_connection_that_is_reset_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    fetch([remote(site, [then_fine(reset)])], tmp_path, QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    (_, first, _), (_, second, sent) = site.asked
    assert (first, second is not None) == (None, True)
    assert sent == len(CONTENT) - int(str(second)[6:-1])


REFUSED: dict[str, tuple[list[Any], int, list[str]]] = {
    # what the addresses do, the bytes left to go on with, and words of the line
    "truncated at every try": ([cut], HALF, ["cut off after 100,000 of 300,000 bytes"]),
    "stalled at every try": ([stall], HALF, ["not a byte for 0.5 s"]),
    "stalled before the header": ([silent], 0, ["not a byte for 0.5 s"]),
    "redirects in a circle": ([redirect("/file-0")], 0, ["redirects lead nowhere"]),
    "length too large": ([length(400_000)], 0, ["offers 400,000 bytes where the file has 300,000"]),
    "length too small": ([length(200_000)], 0, ["offers 200,000 bytes"]),
    "chunked and cut": ([chunked_cut], HALF, ["connection broke"]),
    "wrong bytes of the right length": ([other_bytes], 0, ["other bytes than the checksum tells"]),
    "web page": ([web_page], 0, ["a web page instead of the file"]),
    "404": ([status(404)], 0, ["404"]),
    "503 on all mirrors": ([status(503), status(503)], 0, ["503", "; 127.0.0.1"]),
    "nobody listens": (["http://127.0.0.1:1/file"], 0, ["127.0.0.1: connection refused"]),
    "no such host": (["http://nowhere.invalid/file"], 0, ["nowhere.invalid: no such host, or no network"]),
    "endless body": ([endless], 0, ["other bytes"]),
    "redirect to a file of this machine": ([redirect("file:///etc/hostname")], 0, ["redirects lead nowhere"]),
    "no HTTP": ([gibberish], 0, ["127.0.0.1: "]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_that_end_in_one_line(case: str, site: Site, tmp_path: Path) -> None:
    addresses, left, words = REFUSED[case]
    file = remote(site, addresses)
    with pytest.raises(UserError) as told:
        fetch([file], tmp_path / "set", STALLED if "stalled" in case else QUICK)
    one_line(str(told.value), ["file can't be downloaded", file.urls[0], str(tmp_path / "set"), "--data", *words])
    assert [(p.name, p.stat().st_size) for p in (tmp_path / "set").iterdir()] == ([("file.part", left)] if left else [])
    assert len(site.asked) <= QUICK.tries * 10
    site.behaviours |= dict.fromkeys(site.behaviours, fine)
    if file.urls[0].startswith(site.url("")):  # what is left doesn't stand in the way of the next try
        fetch([file], tmp_path / "set", QUICK)
        assert (tmp_path / "set" / "file").read_bytes() == CONTENT


def test_a_line_that_breaks_after_every_megabyte_gets_there(site: Site, tmp_path: Path) -> None:
    """Tries are counted only where they bring nothing: six breaks, two tries."""
    content = random.Random(9).randbytes(6_500_000)

    def brittle(a: Answer, number: int) -> None:
        a.head(206 if a.range else 200, Content_Length=len(content) - a.first, Content_Range=f"bytes {a.first}-1/*")
        a.body(content[a.first : a.first + 1_100_000])

    file = remote(site, [brittle], content)
    fetch([file], tmp_path, Patience(silence=1, tries=2, pause=0.01))
    assert (tmp_path / "file").read_bytes() == content
    assert len(site.asked) == 6


def test_a_set_goes_on_where_it_stopped_and_names_all_that_is_missing(site: Site, tmp_path: Path) -> None:
    a, b, c = (remote(site, [fine], name=name) for name in "abc")
    broken = Remote("b", b.bytes, b.sha256, (site.url("gone"),))
    site.behaviours["gone"] = status(404)
    with pytest.raises(UserError) as told:
        fetch([a, broken, c], tmp_path, QUICK)
    one_line(str(told.value), ["b can't be downloaded", site.url("gone"), f"{c.urls[0]} (as c)"])
    assert a.urls[0] not in str(told.value)
    assert os.listdir(tmp_path) == ["a"]
    site.asked.clear()
    fetch([a, b, c], tmp_path, QUICK)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    assert len(site.asked) == 2


def test_a_directory_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError) as told:
        fetch([remote(site, [fine])], tmp_path / "taken" / "set", QUICK)
    one_line(str(told.value), [str(tmp_path / "taken"), "can't be made", "GRADUS_CACHE"])
    assert site.asked == []


def test_a_place_that_is_taken_by_a_directory(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").mkdir()
    with pytest.raises(UserError) as told:
        fetch([remote(site, [fine])], tmp_path, QUICK)
    one_line(str(told.value), ["file.part", "can't be written"])


def test_offline_is_said_before_anything_is_asked_or_made(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADUS_OFFLINE", "1")
    file = remote(site, [fine])
    with pytest.raises(UserError) as told:
        fetch([file], tmp_path / "set", QUICK)
    one_line(str(told.value), ["GRADUS_OFFLINE", file.urls[0], str(tmp_path / "set"), "--data", "GRADUS_DATA"])
    assert (site.asked, list(tmp_path.iterdir())) == ([], [])


def test_one_line_on_standard_error_where_nobody_looks(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch([remote(site, [fine])], tmp_path / "set", QUICK, terms="free for all")
    out = capsys.readouterr()
    assert out.out == ""
    one_line(out.err.rstrip("\n"), ["set: 300.0 kB from 127.0.0.1", "free for all", "--data"])


def test_a_full_disk_is_told_in_one_line(site: Site, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = elsewhere(remote(site, [fine]), tmp_path / "set", preexec_fn=limit)
    _, err = done.communicate(timeout=30)
    assert done.returncode == 2, err
    one_line(err.splitlines()[-1], ["file.part", "can't be written: File too large", "GRADUS_CACHE"])
    assert "Traceback" not in err
    assert (tmp_path / "set" / "file.part").read_bytes() == CONTENT[:200_000]
    fetch([remote(site, [fine])], tmp_path / "set", QUICK)
    assert os.listdir(tmp_path / "set") == ["file"]
    assert site.asked[-1][1] == "bytes=200000-"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_instant_it_is_gone_on_with(how: signal.Signals, site: Site, tmp_path: Path) -> None:
    stopped = elsewhere(remote(site, [stall]), tmp_path / "set", Patience(silence=20))
    part = tmp_path / "set" / "file.part"
    wait_until(lambda: part.exists() and part.stat().st_size == HALF)
    stopped.send_signal(how)
    stopped.wait(timeout=10)
    assert os.listdir(tmp_path / "set") == ["file.part"]
    fetch([remote(site, [fine])], tmp_path / "set", QUICK)
    assert (tmp_path / "set" / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "set") == ["file"]
    assert [asked for _, asked, _ in site.asked] == [None, "bytes=100000-"]


def test_two_processes_at_once(site: Site, tmp_path: Path) -> None:
    """The second one waits for the first, asks for nothing, and both end with the file."""
    both = threading.Event()

    def slow(a: Answer, number: int) -> None:
        a.head(Content_Length=len(CONTENT))
        a.body(CONTENT[:HALF])
        both.wait(20)
        a.body(CONTENT[HALF:])

    file = remote(site, [slow])
    first, second = (elsewhere(file, tmp_path / "set", Patience(silence=20)) for _ in range(2))
    told = [b"", b""]
    for process in (first, second):
        os.set_blocking(process.stderr.fileno(), False)

    def one_waits() -> bool:
        for place, process in enumerate((first, second)):
            told[place] += process.stderr.buffer.raw.read() or b""
        return any(b"another process is downloading it" in lines for lines in told)

    wait_until(one_waits)
    both.set()
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert (tmp_path / "set" / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "set") == ["file"]
    assert len(site.asked) == 1


def test_who_waited_for_a_download_that_failed_begins_a_new_one(tmp_path: Path) -> None:
    """The part that it waited for is gone from the directory, though still open in its hands."""
    waiting, path = threading.Event(), tmp_path / "file.part"

    def second() -> None:
        with held(path, waiting.set) as part:
            part.write(CONTENT)
            part.place(tmp_path / "file")

    other = threading.Thread(target=second)
    with held(path, lambda: None) as part:
        part.write(WRONG)
        other.start()
        assert waiting.wait(5)
        part.wipe()
    other.join(5)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def remote(site: Site, addresses: list[Any], content: bytes = CONTENT, name: str = "file") -> Remote:
    """A file whose addresses behave so: functions become paths of the site, text is an address as it is."""
    site.behaviours["fine"] = fine
    urls = []
    for place, address in enumerate(addresses):
        if not isinstance(address, str):
            site.behaviours[f"{name}-{place}"] = address
        urls.append(address if isinstance(address, str) else site.url(f"{name}-{place}"))
    return Remote(name, len(content), hashlib.sha256(content).hexdigest(), tuple(urls))


def elsewhere(file: Remote, directory: Path, patience: Patience = QUICK, **how: Any) -> subprocess.Popen[str]:
    """The same download in a process of its own; status 2 and the line on standard error where it is refused."""
    program = (
        "import sys, types; from pathlib import Path\n"
        "room = sys.modules['gradus.data'] = types.ModuleType('gradus.data')\n"  # whose front door loads torch
        f"room.__path__ = {list(gradus.data.__path__)!r}\n"
        "from gradus.data.download import Patience, Remote, fetch\n"
        "from gradus.errors import UserError\n"
        f"try: fetch([{file!r}], Path({str(directory)!r}), {patience!r})\n"
        "except UserError as error: print(error, file=sys.stderr); sys.exit(2)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, **how)


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def one_line(text: str, words: list[str]) -> None:
    assert "\n" not in text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text
