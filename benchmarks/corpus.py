"""A text of 2 GB made ready for a language model: ``gd.data.corpus`` in seconds, MB/s and memory, and killed midway.

    python benchmarks/corpus.py [--gigabytes 2] [--tokens characters bpe] [--workers 2] [--rival-megabytes 100]

It writes the text (English-like and Chinese words by Zipf's law, in lines) into a temporary directory, and prepares it
in a process of its own with an empty cache; then starts once more; then prepares it again, killed (SIGKILL) when half
is done and gone on with, and compares every byte. Memory is the peak of the process tree, pages of files left out (Pss
of anonymous and shared memory) and with them (Pss as a whole); torch is loaded in it.

The rivals prepare a beginning of the text with the same vocabulary: Hugging Face's ``datasets`` (``load_dataset`` and
``map`` in as many processes), where it is installed, and the loop that people write (``readlines``, a list of ids).
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any

import numpy as np

SEED, WORDS = 0, 60_000


def write_text(path: Path, size: int) -> None:
    """Lines of some 14 words; every fourth is of Chinese characters without blanks; each tenth paragraph ends so."""
    chance = np.random.default_rng(SEED)
    syllables = [a + b + c for a in "bcdfghklmnprstvw" for b in "aeiou" for c in ("", "", "l", "n", "r", "s", "t")]
    latin = ["".join(chance.choice(syllables, chance.integers(1, 4))) for _ in range(WORDS)]
    han = ["".join(map(chr, 0x4E00 + chance.zipf(1.3, n) % 6_000)) for n in chance.integers(1, 4, WORDS)]
    shares = 1 / np.arange(1, WORDS + 1) ** 1.05
    shares /= shares.sum()
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            lines = []
            for number in range(20_000):
                words = chance.choice(WORDS, 14, p=shares) if number == 0 else drawn[number]
                if number == 0:
                    drawn = chance.choice(WORDS, (20_000, 14), p=shares)
                if number % 4 == 3:
                    lines.append("".join(han[w] for w in words[:7]) + "，" + "".join(han[w] for w in words[7:]) + "。")
                else:
                    lines.append(" ".join(latin[w] for w in words).capitalize() + ".")
            file.write("\n".join(lines) + "\n")


def main() -> None: ...
