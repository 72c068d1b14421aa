"""``gradus export RUN --to hf|gguf|onnx``: a trained model in the form of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradus.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from gradus.data import Tokens
    from gradus.models import GPT
    from gradus.training import Run

TYPES = {"hf": ("f32", "f16", "bf16"), "gguf": ("f16", "f32", "bf16", "q8_0"), "onnx": ("f32",)}
"""What the weights can be stored as in each form, the usual one first."""


@click.command(name="export")
@click.argument("run")
@click.option(
    "--to", "form", required=True, type=click.Choice(list(TYPES)),
    help="hf: a folder that transformers loads; gguf: a file of llama.cpp, Ollama and LM Studio; onnx: a file of ONNX",
)  # fmt: skip
@click.option("--out", default=None, metavar="PATH", help="what to write [exports/NAME-hf, NAME-TYPE.gguf, NAME.onnx]")
@click.option(
    "--type", "kind", default=None, type=click.Choice(("f32", "f16", "bf16", "q8_0")),
    help="numbers of the weights; q8_0, with 8 bits, is for gguf alone [f32; of gguf f16]",
)  # fmt: skip
def command(run: str, form: str, out: str | None, kind: str | None) -> None:
    """Write a trained model for other programs. RUN is a finished run, or a Hugging Face directory of a Llama, Qwen2,
    Qwen3 or GPT-2. To hf and gguf goes a language model, to onnx any model that answers one input."""
    from gradus.language.fresh import check_free
    from gradus.training.progress import tell

    kind = kind or TYPES[form][0]
    if kind not in TYPES[form]:
        raise UserError(f"--type {kind}: --to {form} stores weights as {' or '.join(sorted(TYPES[form]))}.")
    source = Source.open(Path(run))
    end = {"hf": "-hf", "gguf": f"-{kind}.gguf", "onnx": ".onnx"}[form]
    path = Path(out) if out is not None else Path("exports") / f"{source.name}{end}"
    check_free(path, directory=form == "hf")
    lines = {"hf": _to_hf, "gguf": _to_gguf, "onnx": _to_onnx}[form](source, path, kind)
    for label, line in [("model", source.describe()), *lines]:
        tell(label, line)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    names = f": {', '.join(file.name for file in files)}" if path.is_dir() else ""
    tell("wrote", f"{path}, {kind}, {sum(file.stat().st_size for file in files) / 1e6:,.1f} MB{names}")


@dataclass(frozen=True)
class Source:
    """What is exported: the model of a finished run, or of a Hugging Face directory, which is no run."""

    name: str
    model: nn.Module
    tokens: Tokens | None
    run: Run | None = None

    @classmethod
    def open(cls, path: Path) -> Source:
        from gradus.data import Tokens
        from gradus.language.hf import load_hf
        from gradus.training import Run, RunDirectory

        name = path.resolve().name
        if "model_type" in RunDirectory.open(path).config():
            return cls(name, *load_hf(path))
        run = Run(path)
        encoder = run.predictor.encoder
        column = encoder.columns[0] if encoder is not None else None
        return cls(name, run.model, column if isinstance(column, Tokens) else None, run)

    def describe(self) -> str:
        count = sum(weight.numel() for weight in self.model.parameters())
        return f"{type(self.model).__name__}, {count:,} parameters"

    def language_model(self, form: str) -> tuple[GPT, Tokens]:
        """The GPT and its tokens, which the other two forms are for."""
        from gradus.models import GPT

        if not isinstance(self.model, GPT) or self.tokens is None:
            raise UserError(
                f"{self.name}: --to {form} is for language models, and its model is {type(self.model).__name__}. "
                "Give a run of gpt, instruct or prefer, or take --to onnx."
            )
        return self.model, self.tokens


def _to_hf(source: Source, path: Path, kind: str) -> list[tuple[str, str]]:
    import torch

    from gradus.language.card import card_of
    from gradus.language.families import ARCHITECTURES, family_of
    from gradus.language.hf import save_hf

    model, tokens = source.language_model("hf")
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[kind]
    card = "" if source.run is None else card_of(source.run, model, path.name)
    save_hf(model, tokens, path, dtype=dtype, card=card)
    loads = f'transformers.AutoModelForCausalLM.from_pretrained("{path}")'
    return [("as", f"{ARCHITECTURES[family_of(model)]}; {loads}")]


def _to_gguf(source: Source, path: Path, kind: str) -> list[tuple[str, str]]:
    from gradus.language.export_gguf import save_gguf
    from gradus.language.families import family_of

    model, tokens = source.language_model("gguf")
    notes = save_gguf(model, tokens, path, kind=kind, name=source.name)
    return [("as", f"{family_of(model)}; llama-cli -m {path}"), *(("note", note) for note in notes)]


def _to_onnx(source: Source, path: Path, kind: str) -> list[tuple[str, str]]:
    from gradus.language.export_onnx import form_of, save_onnx

    encoder = source.run.predictor.encoder if source.run is not None else None
    form = form_of(source.model, encoder or source.tokens)
    about = {}
    if source.run is not None and encoder is not None:
        about = {"gradus.encoder": encoder.to_json(), "gradus.task": source.run.predictor.task.to_json()}
    save_onnx(source.model, form, path, about=about)
    reads = "ids (batch, time), int64" if form.text else f"inputs (batch, {', '.join(map(str, form.shape))}), float32"
    return [("reads", reads), ("checked", "ONNX's own reference answers as the model does, for other sizes too")]
