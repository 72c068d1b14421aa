"""Tokens per second that a model of some 60 M parameters writes, against transformers and minimind, in turns.

    python benchmarks/decode.py [--minimind DIR] [--batches 1,8] [--tokens 128] [--rounds 5] [--json FILE]

All have the same shape (8 layers of 768, 8 heads that share 4 of keys and values, 6,400 tokens) with random weights,
read the same prompts and write greedily, in one process, in turns, so that a busy moment of the machine hurts all
alike; each figure is the median over the rounds of the ratio within a round. Each does it by its own ``generate``: the
prompts are read within the time. Ours is measured with what ``--quantise auto`` chooses here, and with exact weights.

transformers needs ``pip install transformers``; without it that part says so. minimind is a directory with its own
code, as a snapshot of its repository has it (``model/model_minimind.py``).

The bound is what reading all weights once a step would allow at the memory's speed, which is measured in each round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradus.data import Tokens
from gradus.language import LanguageModel, Sampling, generate
from gradus.language.quantised import choose_arithmetic
from gradus.models import GPT

WIDTH, LAYERS, HEADS, SHARED, HIDDEN, VOCABULARY, PLACES = 768, 8, 8, 4, 2432, 6400, 2048
PROMPT = 32  # tokens
READ = 64 * 1024**2  # numbers of 4 bytes that are read to measure the memory
BYTES = {"exact": 4, "int8": 1, "bf16": 2}

Write = Callable[[torch.Tensor, int], int]
"""Reads prompts (batch, time), writes so many tokens to each, and gives how many it wrote in all."""


@dataclass
class Rival:
    """One that writes, and the bytes of weights that it reads in a step."""

    name: str
    write: Write
    weights: int


def ours() -> list[Rival]:
    tokens = Tokens.fit("text", [Path(__file__).read_text(encoding="utf-8")], "chat", size=VOCABULARY)
    torch.manual_seed(0)
    model = GPT(VOCABULARY, WIDTH, HEADS, LAYERS, 0.0, PLACES, kv_heads=SHARED, hidden=HIDDEN).eval()
    parameters = sum(weight.numel() for weight in model.parameters())
    choice = choose_arithmetic(model, "auto")
    print(f"{parameters:,} parameters; --quantise auto is {choice.value} here: {choice.reason}")
    endless = dict.fromkeys(tokens.stop_ids, -1000.0)

    def rival(arithmetic: str) -> Rival:
        lm = LanguageModel(model, tokens, arithmetic=arithmetic)

        def write(prompts: torch.Tensor, count: int) -> int:
            sampling = Sampling(temperature=0, max_tokens=count, logit_bias=endless)
            return sum(len(answer.tokens) for answer in generate(lm, prompts.tolist(), sampling))

        return Rival(f"gradus, {arithmetic}", write, BYTES[arithmetic] * parameters)

    return [rival(arithmetic) for arithmetic in dict.fromkeys((choice.value, "exact"))]


def theirs(minimind: str | None) -> list[Rival]:
    """transformers' Qwen3 and minimind's own model, each where it is there."""
    found = []
    try:
        from transformers import Qwen3Config, Qwen3ForCausalLM
    except ImportError:
        print("transformers isn't installed: that part is left out (pip install transformers)")
        return []
    shape: dict[str, Any] = dict(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=SHARED,
        head_dim=WIDTH // HEADS,
        intermediate_size=HIDDEN,
        max_position_embeddings=PLACES,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    found.append(_rival("transformers, fp32", Qwen3ForCausalLM(Qwen3Config(**shape))))
    if minimind is None:
        print("--minimind isn't given: that part is left out")
        return found
    sys.path.insert(0, str(Path(minimind).resolve()))
    from model.model_minimind import (  # type: ignore[import-not-found, unused-ignore]
        MiniMindConfig,
        MiniMindForCausalLM,
    )

    return [*found, _rival("minimind, fp32", MiniMindForCausalLM(MiniMindConfig(**shape)))]


def _rival(name: str, model: Any) -> Rival:
    model.eval()

    def write(prompts: torch.Tensor, count: int) -> int:
        asked = dict(inputs=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=count, do_sample=False)
        if name.startswith("minimind"):  # greedy needs no candidates, and no answer is to end by itself
            asked |= dict(temperature=1.0, top_k=0, top_p=1.0, eos_token_id=None)
        else:
            asked |= dict(min_new_tokens=count, eos_token_id=None, pad_token_id=0)
        written = model.generate(**asked)
        return int(written.shape[0] * (written.shape[1] - prompts.shape[1]))

    return Rival(name, write, 4 * sum(weight.numel() for weight in model.parameters()))


def bandwidth(numbers: torch.Tensor) -> float:
    """Bytes per second that all threads together read from memory: the best of some rounds."""
    best = 0.0
    for _ in range(5):
        begun = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.numel() * numbers.element_size() / (time.perf_counter() - begun))
    return best


def measure(rivals: list[Rival], batch: int, count: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of each rival, round by round, and the bytes per second of the memory in each."""
    chance = torch.Generator().manual_seed(batch)
    prompts = torch.randint(8, VOCABULARY // 20, (batch, PROMPT), generator=chance)
    numbers = torch.ones(READ)
    speeds: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    memory: list[float] = []
    for number in range(rounds + 1):
        memory.append(bandwidth(numbers))
        for rival in rivals:
            begun = time.perf_counter()
            written = rival.write(prompts, count if number else 8)  # the first round warms up
            assert written == batch * (count if number else 8)
            speeds[rival.name].append(written / (time.perf_counter() - begun))
    return {"batch": batch, "memory": memory[1:], "speeds": {name: found[1:] for name, found in speeds.items()}}


def tell(found: dict[str, Any], rivals: list[Rival]) -> None:
    speeds, memory, batch = found["speeds"], found["memory"], found["batch"]
    first = rivals[0].name
    print(f"\nbatch {batch}; the memory is read at {statistics.median(memory) / 1e9:.1f} GB/s")
    for rival in rivals:
        own = speeds[rival.name]
        bound = [batch * speed / rival.weights for speed in memory]
        share = statistics.median(a / b for a, b in zip(own, bound, strict=True))
        line = f"  {rival.name:20} {statistics.median(own):8.1f} tokens/s, {share:4.0%} of the memory's bound"
        if rival.name != first:
            ratio = statistics.median(a / b for a, b in zip(speeds[first], own, strict=True))
            line += f"; {first} is {ratio:.2f} × as fast"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minimind", help="a directory with minimind's code")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rivals = [*ours(), *theirs(asked.minimind)]
    found = []
    for batch in map(int, asked.batches.split(",")):
        found.append(measure(rivals, batch, asked.tokens, asked.rounds))
        tell(found[-1], rivals)
    if asked.json:
        Path(asked.json).write_text(json.dumps({"threads": torch.get_num_threads(), "found": found}, indent=1))


if __name__ == "__main__":
    main()
