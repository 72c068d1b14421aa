"""A small GPT against nanoGPT and minimind, whose own code is run from a folder of it, in turns in one process tree.

    python benchmarks/gpt.py [seconds] [tokens] [useful] --text FILE [--nanogpt DIR] [--minimind DIR] [--rounds 3]
    python benchmarks/gpt.py gpu [--nanogpt DIR] [--modded DIR]

seconds   to a validation loss of 2.0, 1.88 and 1.7 nats on the characters of FILE (tinyshakespeare): nanoGPT's train.py
          by the CPU recipe of its README (``--iters`` makes it longer), against ``gd.train``, validation not counted.
tokens    a second, in fp32, of the same module (GPT-2's block, 6 layers × 384, 8 × 256 tokens) under AdamW: nanoGPT's
          model and the inner lines of its loop against ours.
useful    tokens a second that aren't padding: minimind's network (64 million weights), padding every conversation to
          its length of 768, against ours of the same shape with packed rows; lengths of conversations are drawn from a
          log-normal distribution (median 200 tokens, sigma 0.6). Both in fp32 by AdamW.
gpu       a GPT-2-124M-shaped step on a GPU, bf16, 16 × 1,024 tokens: tokens a second and the share of the card's peak:
          nanoGPT's (compiled, AdamW), the simple file of modded-nanogpt's optimisation track (compiled, its Muon), and
          ours: GPT-2's block by AdamW, eager and compiled, and Llama's by Muon, compiled.

Without the folder of a rival its part says so. Check that the machine is idle.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gradus as gd
from gradus.training import supervised
from gradus.training.engine import Compiled
from gradus.training.optim import make_optimizer
from gradus.training.state import TrainState

TARGETS = (2.0, 1.88, 1.7)
STEPS = 6  # of each side in a round
README = "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4"
README += " --n_head=4 --n_embd=128 --dropout=0.0"
OURS: dict[str, Any] = dict(width=128, heads=2, layers=4, length=128, batch=16, lr=8e-3)
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "4090": 165e12}  # dense bf16 operations a second, by the makers


def seconds(text: Path, nanogpt: Path | None, rounds: int, iters: int, steps: int) -> None:
    ratios: dict[float, list[float]] = {target: [] for target in TARGETS}
    for number in range(rounds):
        ours = our_seconds(text, steps)
        print(f"seconds, round {number + 1}: ours {_told(ours)}", flush=True)
        if nanogpt is None:
            print("nanoGPT: no folder was given [--nanogpt]")
            continue
        theirs = nanogpt_seconds(text, nanogpt, iters)
        print(f"seconds, round {number + 1}: nanoGPT {_told(theirs)}", flush=True)
        for target in TARGETS:
            if target in ours and target in theirs:
                ratios[target].append(ours[target] / theirs[target])
    for target, found in ratios.items():
        if found:
            print(f"to {target}: ours takes {statistics.median(found):.2f} × nanoGPT's seconds ({_each(found)})")


def _told(reached: dict[float, float]) -> str:
    return ", ".join(
        f"{target}: {reached[target]:.1f} s" if target in reached else f"{target}: never" for target in TARGETS
    )


def _each(found: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in found)


def nanogpt_seconds(text: Path, nanogpt: Path, iters: int) -> dict[float, float]:
    """Seconds of training after which nanoGPT's own estimate of the validation loss was below each target."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place) / "nanoGPT"
        shutil.copytree(nanogpt, here)
        letters = text.read_text()
        known = sorted(set(letters))
        number = {letter: place for place, letter in enumerate(known)}
        ids = np.array([number[letter] for letter in letters], dtype=np.uint16)
        data = here / "data/shakespeare_char"
        cut = int(0.9 * len(ids))
        ids[:cut].tofile(data / "train.bin")
        ids[cut:].tofile(data / "val.bin")
        (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(known)}))
        command = f"{sys.executable} train.py config/train_shakespeare_char.py {README} --eval_interval=50"
        command += f" --max_iters={iters} --lr_decay_iters={iters}"
        done = subprocess.run(command.split(), cwd=here, capture_output=True, text=True, check=True)
    reached: dict[float, float] = {}
    spent = 0.0
    for line in done.stdout.splitlines():
        if found := re.match(r"iter (\d+): .* time ([\d.]+)ms", line):
            if int(found[1]) % 50:  # of the others a part is the estimate
                spent += float(found[2]) / 1000 * 50 / 49
        elif found := re.match(r"step \d+: .* val loss ([\d.]+)", line):
            for target in TARGETS:
                if float(found[1]) <= target:
                    reached.setdefault(target, spent)
    return reached


def our_seconds(text: Path, steps: int) -> dict[float, float]:
    """Seconds of training after which the loss of the whole last tenth was below each target."""
    data = gd.data.corpus(text, tokens="characters", length=OURS["length"], valid=0.1, test=0.0)
    torch.manual_seed(0)
    shape = {key: OURS[key] for key in ("width", "heads", "layers")}
    model = gd.models.GPT(data.num_tokens, max_length=int(OURS["length"]), **shape)
    with tempfile.TemporaryDirectory() as place:
        run = gd.train(
            model, data, steps=steps, batch_size=OURS["batch"], optimizer="muon", lr=OURS["lr"], schedule="linear",
            warmup=0.02, clip=1.0, valid_every="50 steps", log_every=10, quiet=True, out=f"{place}/run",
        )  # fmt: skip
        lines = [json.loads(line) for line in (Path(place) / "run/metrics.jsonl").read_text().splitlines()]
        checks = [line for line in lines if "valid" in line]
        a_check = run.summary["seconds"]["validate"] / len(checks)
        total = {line["step"]: line["seconds"] for line in lines if "seconds" in line}
    reached: dict[float, float] = {}
    for number, line in enumerate(checks):
        spent = max(value for step, value in total.items() if step <= line["step"]) - number * a_check
        for target in TARGETS:
            if line["valid"]["loss"] <= target:
                reached.setdefault(target, spent)
    return reached


def tokens(nanogpt: Path | None, rounds: int) -> None:
    if nanogpt is None:
        print("nanoGPT: no folder was given [--nanogpt]")
        return
    rows, length, words = 8, 256, 65
    ids = torch.randint(0, words, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    theirs = nanogpt_step(nanogpt, dict(n_layer=6, n_head=6, n_embd=384, block_size=length, vocab_size=words), ids)
    ours = our_step(dict(num_tokens=words, width=384, heads=6, layers=6, max_length=length, plain=True), ids)
    in_turns("tokens", {"nanoGPT": (theirs, ids[:, 1:].numel()), "ours": (ours, ids[:, 1:].numel())}, rounds)


def useful(minimind: Path | None, rounds: int) -> None:
    if minimind is None:
        print("minimind: no folder was given [--minimind]")
        return
    rows, length, words = 2, 768, 6400
    chance = np.random.default_rng(0)
    lengths = np.minimum(np.exp(np.log(200) + 0.6 * chance.standard_normal(4000)).astype(int), length)
    texts = [chance.integers(8, words, size).tolist() for size in lengths]
    padded = torch.zeros(rows, length, dtype=torch.int64)
    labels = torch.full((rows, length), -100)
    for row in range(rows):
        padded[row, : len(texts[row])] = torch.tensor(texts[row])
        labels[row, : len(texts[row])] = padded[row, : len(texts[row])]
    theirs = minimind_step(minimind, padded, labels)
    packed, numbers = packed_rows(texts, rows, length + 1)
    shape = dict(num_tokens=words, width=768, heads=8, kv_heads=4, layers=8, hidden=2432, max_length=length)
    ours = our_step(shape, packed, numbers)
    kept = int((packed[:, 1:] != 0).sum())
    print(f"useful: of minimind's {padded.numel()} places {int(lengths[:rows].sum())} are text, of ours {kept}")
    share = float(lengths.mean()) / length  # of minimind's rows over the whole set, not of the two that were drawn
    in_turns("useful tokens", {"minimind": (theirs, share * padded.numel()), "ours": (ours, kept)}, rounds)


def packed_rows(texts: list[list[int]], rows: int, length: int) -> tuple[Tensor, Tensor]:
    """The first rows that best fit makes of some texts, and which text each token is of."""
    from gradus.data.packing import pack

    packs = pack(np.array([len(text) for text in texts]), length)
    ids, numbers = torch.zeros(rows, length, dtype=torch.int64), torch.full((rows, length), -1)
    for row in range(rows):
        place = 0
        for text in packs[row]:
            end = place + len(texts[text])
            ids[row, place:end], numbers[row, place:end] = torch.tensor(texts[text]), text
            place = end
    return ids, numbers


def gpu(nanogpt: Path | None, modded: Path | None, rounds: int) -> None:
    if not torch.cuda.is_available():
        print("gpu: none here")
        return
    rows, length, words = 16, 1024, 50304
    ids = torch.randint(0, words, (rows, length + 1), device="cuda")
    sides: dict[str, tuple[Callable[[], Any], float]] = {}
    shape: dict[str, Any] = dict(num_tokens=words, width=768, heads=12, layers=12, max_length=length, plain=True)
    for name, options in (
        ("ours", {}),
        ("ours, compiled", {"compiled": True}),
        ("ours, compiled, Llama's block, Muon", {"compiled": True, "optimizer": "muon"}),
    ):
        plain = "optimizer" not in options
        step = our_step({**shape, "plain": plain}, ids, precision="bf16", **options)
        sides[name] = step, ids[:, 1:].numel()
    if modded is not None:
        sides = {"modded-nanogpt": (modded_step(modded, words, ids), ids[:, 1:].numel()), **sides}
    if nanogpt is not None:
        config = dict(n_layer=12, n_head=12, n_embd=768, block_size=length, vocab_size=words, bias=False)
        sides = {"nanoGPT": (nanogpt_step(nanogpt, config, ids, compiled=True), ids[:, 1:].numel()), **sides}
    speeds = in_turns("gpu", sides, rounds)
    weights = sum(p.numel() for p in gd.models.GPT(**shape).parameters())
    a_token = 6 * weights + 12 * 12 * 768 * length
    card = torch.cuda.get_device_name()
    peak = next((value for name, value in PEAK.items() if name in card), None)
    for name, speed in speeds.items():
        share = "" if peak is None else f", {100 * speed * a_token / peak:.1f} % of the peak of {card}"
        print(f"gpu: {name} {speed:,.0f} tokens/s{share}")


def module_of(folder: Path, name: str) -> Any:
    """A rival's own module; of the rival before, whose modules may have the same names, nothing is found."""
    for known in [known for known in sys.modules if known.partition(".")[0] == name.partition(".")[0]]:
        del sys.modules[known]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def nanogpt_step(nanogpt: Path, config: dict[str, Any], ids: Tensor, compiled: bool = False) -> Callable[[], None]:
    """One round of the inner lines of nanoGPT's train.py with its own model."""
    theirs = module_of(nanogpt, "model")
    torch.manual_seed(0)
    device = ids.device.type
    model = theirs.GPT(theirs.GPTConfig(dropout=0.0, **config)).to(device)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device)
    if compiled:
        model = torch.compile(model)
    half = torch.autocast("cuda", dtype=torch.bfloat16) if device == "cuda" else nullcontext()

    def step() -> None:
        with half:
            _, loss = model(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def modded_step(modded: Path, words: int, ids: Tensor, layers: int = 12, width: int = 768) -> Callable[[], None]:
    """One round of the inner lines of modded-nanogpt's train_gpt_simple.py, of which only what it defines is run."""
    source = modded / "records/track_3_optimization/train_gpt_simple.py"
    parts = ast.parse(source.read_text())
    parts.body = [
        part for part in parts.body if isinstance(part, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef)
    ]
    theirs: dict[str, Any] = {"__name__": "train_gpt_simple"}
    exec(compile(parts, str(source), "exec"), theirs)
    if not torch.distributed.is_initialized():  # its optimiser asks how many processes there are
        torch.distributed.init_process_group(
            "nccl" if ids.is_cuda else "gloo", init_method=f"file://{tempfile.mkdtemp()}/world", rank=0, world_size=1
        )
    torch.manual_seed(0)
    model = theirs["GPT"](vocab_size=words, num_layers=layers, model_dim=width).to(ids.device)
    adam = torch.optim.AdamW(
        [
            dict(params=[model.embed.weight], lr=0.7),
            dict(params=[model.proj.weight], lr=0.004),
            dict(params=[p for p in model.parameters() if p.ndim < 2], lr=0.015),
        ],
        betas=(0.8, 0.95), eps=1e-10, weight_decay=0.001, fused=True,
    )  # fmt: skip
    muon = theirs["Muon"]([p for p in model.blocks.parameters() if p.ndim >= 2], lr=0.025, weight_decay=0.05)
    model.compile(dynamic=False)
    inputs, targets = ids[:, :-1].to(torch.int32).contiguous(), ids[:, 1:].contiguous()

    def step() -> None:
        (model(inputs, targets) / targets.numel()).backward()
        adam.step()
        muon.step()
        model.zero_grad(set_to_none=True)

    return step


def minimind_step(minimind: Path, ids: Tensor, labels: Tensor) -> Callable[[], None]:
    """One round of the inner lines of minimind's train_full_sft.py with its own model; on a CPU it runs in fp32."""
    theirs = module_of(minimind, "model.model_minimind")
    torch.manual_seed(0)
    model = theirs.MiniMindForCausalLM(theirs.MiniMindConfig(hidden_size=768, num_hidden_layers=8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        found = model(ids, labels=labels)
        (found.loss + found.aux_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def our_step(
    shape: dict[str, Any],
    ids: Tensor,
    texts: Tensor | None = None,
    precision: str = "fp32",
    compiled: bool = False,
    optimizer: str = "adamw",
) -> Callable[[], None]:
    """One step as ``gd.train`` runs it."""
    torch.manual_seed(0)
    model = gd.models.GPT(**shape).to(ids.device)
    task = gd.tasks.NextToken(shape["num_tokens"])
    inputs = ids[:, :-1].contiguous() if texts is None else (ids[:, :-1].contiguous(), texts[:, :-1].contiguous())
    targets = ids[:, 1:].contiguous() if texts is None else ids[:, 1:].where(texts[:, 1:] == texts[:, :-1], -100)
    batch = gd.data.Batch(inputs, targets, torch.arange(len(ids), device=ids.device), int((targets != -100).sum()))
    state = TrainState(model, make_optimizer(model, optimizer, ids.device, lr=1e-3), total_steps=1 << 30)
    within = Compiled(model, batch).on if compiled else None
    once = supervised(task, lr=1e-3, clip=1.0, precision=precision, within=within)

    def step() -> None:
        once(state, batch)
        state.step += 1

    return step


def in_turns(what: str, sides: dict[str, tuple[Callable[[], Any], float]], rounds: int) -> dict[str, float]:
    """Each side's tokens a second, a step at a time, back and forth; prints the medians of the ratios to the first.

    So each step stands beside one of the other side: a busy second of the machine, which is as long as a few of them,
    would hurt one side's alone if these came together.
    """
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(STEPS * rounds + 1):
        for name, (step, count) in list(sides.items())[:: -1 if turn % 2 else 1]:
            _wait()
            begun = time.perf_counter()
            step()
            _wait()
            if turn:  # the first one warms up
                speeds[name].append(count / (time.perf_counter() - begun))
    first, *others = sides
    for name in sides:
        print(f"{what}: {name} {statistics.median(speeds[name]):,.0f}/s")
    for name in others:
        found = [mine / theirs for mine, theirs in zip(speeds[name], speeds[first], strict=True)]
        low, middle, high = statistics.quantiles(found, n=4)
        print(
            f"{what}: {name} {middle:.2f} × {first} (half of {len(found)} pairs: {low:.2f} to {high:.2f})", flush=True
        )
    return {name: statistics.median(found) for name, found in speeds.items()}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="seconds, tokens, useful, gpu [the first three]")
    parser.add_argument("--text", type=Path, help="tinyshakespeare's input.txt")
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--minimind", type=Path)
    parser.add_argument("--modded", type=Path, help="modded-nanogpt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iters", type=int, default=6000, help="of nanoGPT; its README has 2,000, which end at 1.88")
    parser.add_argument("--steps", type=int, default=1500, help="of ours")
    given = parser.parse_args()
    parts = given.parts or ["seconds", "tokens", "useful"]
    if "seconds" in parts:
        if given.text is None:
            parser.error("seconds: name the text with --text")
        seconds(given.text, given.nanogpt, given.rounds, given.iters, given.steps)
    if "tokens" in parts:
        tokens(given.nanogpt, given.rounds)
    if "useful" in parts:
        useful(given.minimind, given.rounds)
    if "gpu" in parts:
        gpu(given.nanogpt, given.modded, given.rounds)


if __name__ == "__main__":
    main()
