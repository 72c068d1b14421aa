"""A text of 2 GB made ready for a language model by ``gd.data.corpus``: seconds, memory, and killed midway.

    python benchmarks/corpus.py [--megabytes 2000] [--tokens characters bpe] [--rows blocks] [--workers 2]
        [--rival-megabytes 100]

It writes the text (words of Latin letters and of Chinese characters by Zipf's law, in lines) into a temporary directory
and prepares it in a process of its own with an empty cache. Then it starts once more; then with an empty cache again,
killed (SIGKILL) when half is done and gone on with, and every byte is compared. Memory is the peak of the process tree:
its own pages (Pss of anonymous and shared memory), and those of files with them; torch is loaded in it.

The rivals prepare the text's beginning with the same vocabulary, which ours fits within its time: ``load_dataset`` and
``map`` of Hugging Face's datasets in as many processes, where it is installed, and the loop that people write, which
keeps all ids in a list.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SEED, WORDS, LINES = 0, 60_000, 20_000


@functools.cache
def vocabulary() -> tuple[list[str], list[str], np.ndarray]:
    """Words of Latin letters, words of Chinese characters, and how often each comes."""
    chance = np.random.default_rng(SEED)
    syllables = np.array([a + b + c for a in "bcdfghklmnprstvw" for b in "aeiou" for c in ("", "", "l", "n", "r", "s")])
    latin = ["".join(chance.choice(syllables, n)) for n in chance.integers(1, 4, WORDS)]
    han = ["".join(map(chr, 0x4E00 + chance.zipf(1.3, n) % 6_000)) for n in chance.integers(1, 4, WORDS)]
    shares = 1 / np.arange(1, WORDS + 1)
    return latin, han, shares / shares.sum()


def some_text(number: int) -> str:
    """A part of the text, about 2 MB: of every four lines one is Chinese, without blanks."""
    latin, han, shares = vocabulary()
    drawn = np.random.default_rng((SEED, number)).choice(WORDS, (LINES, 14), p=shares).tolist()
    lines = []
    for line, words in enumerate(drawn):
        if line % 4 == 3:
            told = [han[word] for word in words]
            lines.append("".join(told[:7]) + "，" + "".join(told[7:]) + "。\n")
        else:
            lines.append(" ".join([latin[word] for word in words]).capitalize() + ".\n")
    return "".join(lines)


def write_text(path: Path, megabytes: int) -> None:
    """Parts of the text until it is so long, made by all processors; the last line is whole."""
    number, step = 0, 16
    with path.open("wb") as file, ProcessPoolExecutor() as pool:
        while file.tell() < 1_000_000 * megabytes:
            for text in pool.map(some_text, range(number, number + step)):
                file.write(text.encode())
            number += step


def ours(place: str, tokens: str, asked: argparse.Namespace) -> dict[str, Any]:
    from gradus.data import corpus  # and torch with it

    begun = time.perf_counter()
    data = corpus(place, tokens=tokens, rows=asked.rows, workers=asked.workers)
    seconds, spent = time.perf_counter() - begun, sum(os.times()[:4])
    size = {"tokens": len(data.source.flat), "vocabulary": data.tokens.size}
    return {"seconds": seconds, "processor_seconds": spent, **size}


def loop(place: str, tokens: str, asked: argparse.Namespace) -> dict[str, Any]:
    encode = encoder(place, tokens)
    begun = time.perf_counter()
    ids: list[int] = []
    with open(place, encoding="utf-8") as file:
        for line in file.readlines():
            ids.extend(encode(line))
    return {"seconds": time.perf_counter() - begun, "tokens": len(ids)}


def datasets(place: str, tokens: str, asked: argparse.Namespace) -> dict[str, Any]:
    from datasets import load_dataset

    encode = encoder(place, tokens)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=Path(place).parent) as cache:
        lines = load_dataset("text", data_files=place, cache_dir=cache, split="train", keep_linebreaks=True)
        told = lines.map(
            functools.partial(_encoded, encode), batched=True, num_proc=asked.workers, remove_columns=["text"]
        ).with_format("numpy")  # fmt: skip
        found = sum(len(row) for row in told[: len(told) // 100]["ids"])
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "tokens": 100 * found}


def _encoded(encode: Callable[[str], list[int]], batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
    return {"ids": [encode(line) for line in batch["text"]]}


class encoder:  # noqa: N801 - used as the function that it makes
    """Text to ids with the vocabulary that ours fitted; goes to other processes."""

    def __init__(self, place: str, tokens: str) -> None:
        spec = json.loads(Path(place).with_name(f"vocabulary-{tokens}.json").read_text())
        from tokenizers import Tokenizer

        self.bpe = Tokenizer.from_str(spec["bpe"]) if tokens == "bpe" else None
        self.ids = {token: i for i, token in enumerate(spec["tokens"], start=4)}

    def __call__(self, line: str) -> list[int]:
        return self.bpe.encode(line).ids if self.bpe else [self.ids.get(c, 1) for c in line]


def pages(process: int) -> tuple[int, int]:
    """Bytes of a process and its children that are theirs, and with them their share of files' pages."""
    own = whole = 0
    for number in (process, *children(process)):
        try:
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        values = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
        own += values.get("Pss_Anon", 0) + values.get("Pss_Shmem", 0)
        whole += values.get("Pss", 0)
    return own, whole


def children(process: int) -> list[int]:
    try:
        direct = [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
    return direct + [inner for child in direct for inner in children(child)]


def run(side: str, text: Path, tokens: str, asked: argparse.Namespace, cache: Path, kill_at: int = 0) -> dict[str, Any]:
    """One side in a process of its own: its answer with its peaks of memory; at ``kill_at`` bytes of tokens it dies."""
    command = [sys.executable, __file__, "--side", side, "--place", str(text), "--tokens", tokens]
    command += ["--workers", str(asked.workers), "--rows", asked.rows]
    environment = {
        **os.environ,
        "GRADUS_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peak = [0, 0]

    def look() -> None:
        while process.poll() is None:
            peak[:] = map(max, peak, pages(process.pid))
            done = sum(file.stat().st_size for file in cache.glob("corpora/*.part/tokens"))
            if kill_at and done >= kill_at:
                process.kill()
            time.sleep(0.2)

    watcher = threading.Thread(target=look)
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    whole = time.perf_counter() - begun
    answer = {} if kill_at else json.loads(out)
    return {**answer, "process_seconds": whole, "own": peak[0] / 1e6, "pages": peak[1] / 1e6}


def digests(cache: Path) -> dict[str, str]:
    out = {}
    for path in sorted(cache.glob("corpora/*/*")):
        with path.open("rb") as file:
            out[str(path.relative_to(cache))] = hashlib.file_digest(file, "sha256").hexdigest()
    return out


def measure(text: Path, tokens: str, asked: argparse.Namespace) -> None:
    megabytes = text.stat().st_size / 1e6
    calm, killed = text.with_name("calm"), text.with_name("killed")
    first = run("ours", text, tokens, asked, calm)
    print(
        f"{tokens:<11}prepared in {first['seconds']:.1f} s, {megabytes / first['seconds']:.1f} MB/s "
        f"({first['processor_seconds']:.0f} s of processors): "
        f"{first['tokens'] / 1e6:,.0f} million tokens of {first['vocabulary']:,}; peak {first['own']:.0f} MB of its "
        f"own, {first['pages']:.0f} MB with pages of files",
        flush=True,
    )
    again = run("ours", text, tokens, asked, calm)
    print(
        f"{'':<11}second start {again['seconds']:.2f} s ({again['process_seconds']:.1f} s with the imports)", flush=True
    )
    size = next(calm.glob("corpora/*/tokens")).stat().st_size
    column = next(calm.glob("corpora/*/column.json"))
    shutil.copy(column, text.with_name(f"vocabulary-{tokens}.json"))
    expected = digests(calm)
    shutil.rmtree(calm)
    broken = run("ours", text, tokens, asked, killed, kill_at=size // 2)
    resumed = run("ours", text, tokens, asked, killed)
    same = "every byte the same" if digests(killed) == expected else "THE BYTES DIFFER"
    shutil.rmtree(killed)
    print(
        f"{'':<11}killed after {broken['process_seconds']:.1f} s, gone on with in {resumed['seconds']:.1f} s: {same}",
        flush=True,
    )
    some = text.with_name("some.txt")
    with text.open("rb") as whole, some.open("wb") as part:
        content = whole.read(1_000_000 * asked.rival_megabytes)
        part.write(content[: content.rfind(b"\n") + 1])
    for side in ("ours", "datasets", "loop"):
        if side == "datasets" and importlib.util.find_spec("datasets") is None:
            continue
        found = run(side, some, tokens, asked, calm)
        shutil.rmtree(calm, ignore_errors=True)
        print(
            f"{'':<11}{asked.rival_megabytes} MB by {side}: {found['seconds']:.1f} s, "
            f"{asked.rival_megabytes / found['seconds']:.1f} MB/s, peak {found['own']:.0f} MB of its own",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--tokens", nargs="+", default=["characters", "bpe"])
    parser.add_argument("--rows", choices=("blocks", "lines"), default="blocks")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rival-megabytes", type=int, default=100)
    parser.add_argument("--side", choices=("ours", "loop", "datasets"), help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        side = {"ours": ours, "loop": loop, "datasets": datasets}[asked.side]
        print(json.dumps(side(asked.place, asked.tokens[0], asked)))
        return
    root = Path(tempfile.mkdtemp())
    try:
        begun = time.perf_counter()
        write_text(root / "text.txt", asked.megabytes)
        print(f"{asked.megabytes:,} MB of text written in {time.perf_counter() - begun:.0f} s", flush=True)
        for tokens in asked.tokens:
            measure(root / "text.txt", tokens, asked)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
