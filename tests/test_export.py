"""Language models for other programs, judged by those programs: transformers, the gguf package and llama.cpp."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gradus as gd
from gradus.data import Tokens
from gradus.data.chat import encode_chat
from gradus.errors import UserError
from gradus.language import LanguageModel, Sampling, generate
from gradus.language.export_gguf import save_gguf
from gradus.language.hf import save_hf
from gradus.models import GPT

os.environ["HF_HUB_OFFLINE"] = "1"
Command = Callable[..., tuple[int, str, str]]

TEXTS = [
    "def cut(self, text: str) -> list[int]:\n    return [ord(c) for c in text]  # one by one\n" * 3,
    "It was the best of times, it was the worst of times; I'll say it: they've 365 days, and DON'T know.\n" * 3,
    "床前明月光,疑是地上霜。举头望明月，低头思故乡。共有20个字。\n" * 3,
]
HARD = [
    *TEXTS,
    "  \n\n a\r\n\tb  ",
    "１２３ ４5",
    "<|user|>hi<|end|><eos>",
    "e\u0301é 👩‍👩‍👧 ﬁ",
    "　全角　空白",
    "'S 'll",
]
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": dict(kv_heads=2, head_width=24, hidden=96),
    "qwen3-untied": dict(tie=False, theta=1e6, epsilon=1e-5, hidden=80),
    "llama": dict(qk_norm=False, kv_heads=1, head_width=24, tie=False, theta=5e5),
    "llama-3": dict(qk_norm=False, theta=900.0, stretch=(8.0, 1.0, 4.0, 40.0)),
    "qwen3-linear": dict(theta=900.0, stretch=(4.0,)),
    "qwen2": dict(qk_norm=False, qkv_bias=True, kv_heads=2),
    "gpt2": dict(plain=True, gelu_by_tanh=True, hidden=96, epsilon=1e-5),
    "gpt2-untied": dict(plain=True, gelu_by_tanh=True, tie=False),
    "gpt2-exact": dict(plain=True),
}
CLASSES = {"qwen3": "Qwen3", "llama": "Llama", "qwen2": "Qwen2", "gpt2": "GPT2"}


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.fit("text", TEXTS, "chat", size=330)


def model_of(shape: str, num_tokens: int) -> GPT:
    """A model with weights large enough for its answers to hang on every one of them, norms and biases included."""
    torch.manual_seed(1)
    model = GPT(num_tokens, 64, 4, 3, max_length=160, **SHAPES[shape]).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.25 + (weight.ndim == 1))
    return model


def greedy(model: GPT, tokens: Tokens, ids: list[int], count: int = 100) -> list[int]:
    return generate(LanguageModel(model, tokens), [ids], Sampling(temperature=0, max_tokens=count))[0].tokens


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_computes_the_same_logits_and_writes_the_same_hundred_tokens(shape: str, tokens: Tokens) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of(shape, tokens.size + 3)
    save_hf(model, tokens, Path("out"))
    theirs, told = transformers.AutoModelForCausalLM.from_pretrained("out", output_loading_info=True)
    assert type(theirs).__name__.startswith(CLASSES[shape.partition("-")[0]])
    assert not any(told.values())
    ids = torch.randint(8, tokens.size, (3, 50), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(ids)
        assert wanted.std() > 0.1
        torch.testing.assert_close(theirs(ids).logits, wanted, atol=1e-4, rtol=0)
        written = theirs.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), max_new_tokens=100)
    assert written[0, 50:].tolist() == greedy(model, tokens, ids[0].tolist())


def test_transformers_reads_texts_and_conversations_as_the_same_tokens(tokens: Tokens) -> None:
    transformers = pytest.importorskip("transformers")
    save_hf(model_of("qwen3", tokens.size), tokens, "out", card="# A card\n")
    theirs = transformers.AutoTokenizer.from_pretrained("out")
    for text in HARD:
        assert theirs(text, split_special_tokens=True)["input_ids"] == tokens.encode_text(text)
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "你好 12"}]
    asked = theirs.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert asked == encode_chat(tokens, talk, answer=True)[0]
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokens.eos_id, tokens.pad_id)
    assert Path("out/README.md").read_text(encoding="utf-8") == "# A card\n"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_as_many_bytes(dtype: torch.dtype, tokens: Tokens) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of("llama", tokens.size)
    save_hf(model, tokens, "out", dtype=dtype)
    theirs = transformers.AutoModelForCausalLM.from_pretrained("out")
    assert theirs.dtype == dtype
    torch.testing.assert_close(theirs.lm_head.weight, model.head.weight.to(dtype), atol=0, rtol=0)


def reference(shape: str, model: GPT, tokens: Tokens) -> dict[str, np.ndarray]:
    """What llama.cpp's own converter makes of the model in transformers: its names, and its order of Llama's rows."""
    import gguf
    import transformers

    save_hf(model, tokens, "hf")
    family = shape.partition("-")[0]
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(arch, model.layers)
    out = {}
    theirs = transformers.AutoModelForCausalLM.from_pretrained("hf")
    if model.stretch is not None and len(model.stretch) == 4:
        width = torch.arange(0, model.head_width, 2) / model.head_width
        out["rope_freqs.weight"] = (model.theta**-width / theirs.model.rotary_emb.inv_freq).numpy()
    for name, weight in theirs.state_dict().items():
        if name == "lm_head.weight" and model.tie:
            continue
        value = weight.float().numpy()
        if family == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            value = value.T
        if family == "llama" and (".q_proj" in name or ".k_proj" in name):
            heads = model.heads if ".q_proj" in name else model.kv_heads
            value = value.reshape(heads, 2, len(value) // heads // 2, -1).swapaxes(1, 2).reshape(value.shape)
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        out[found] = value
    return out


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_gguf_file_read_back_tensor_for_tensor(shape: str, kind: str, tokens: Tokens) -> None:
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    model = model_of(shape, tokens.size + 3)
    notes = save_gguf(model, tokens, "model.gguf", kind=kind)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader("model.gguf").tensors}
    wanted = reference(shape, model, tokens)
    assert found.keys() == wanted.keys()
    plainer = 0
    for name, value in wanted.items():
        tensor = found[name]
        whole = value.ndim == 1 or name == "position_embd.weight"
        rows = value.shape[-1] % 32 == 0
        stored = "f32" if whole else "f16" if kind == "q8_0" and not rows else kind
        plainer += not whole and kind == "q8_0" and not rows
        assert tensor.tensor_type.name == stored.upper()
        given = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(value.shape)
        bound = {"f32": 1e-6 * (name == "rope_freqs.weight"), "f16": 2**-11, "bf16": 2**-8, "q8_0": 1 / 127}[
            stored
        ] * np.abs(value).max()
        assert np.abs(given - value).max() <= bound
    assert len(notes) == (plainer > 0) + (model.plain and not model.gelu_by_tanh)


def value_of(reader: Any, key: str) -> Any:
    return reader.get_field(key).contents()


def test_what_a_gguf_file_tells_of_model_and_tokenizer(tokens: Tokens) -> None:
    gguf = pytest.importorskip("gguf")
    save_gguf(model_of("qwen3", tokens.size + 3), tokens, "model.gguf", name="mine")
    reader = gguf.GGUFReader("model.gguf")
    expected = {
        "general.architecture": "qwen3", "general.name": "mine", "qwen3.context_length": 160,
        "qwen3.embedding_length": 64, "qwen3.block_count": 3, "qwen3.feed_forward_length": 96,
        "qwen3.attention.head_count": 4, "qwen3.attention.head_count_kv": 2, "qwen3.attention.key_length": 24,
        "qwen3.attention.value_length": 24, "qwen3.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0, "tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": tokens.template,
    }  # fmt: skip
    assert {key: value_of(reader, key) for key in expected} == expected
    assert value_of(reader, "qwen3.attention.layer_norm_rms_epsilon") == pytest.approx(1e-6)
    words, kinds = value_of(reader, "tokenizer.ggml.tokens"), value_of(reader, "tokenizer.ggml.token_type")
    assert words[:8] == ["<pad>", "<unk>", "<bos>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    assert kinds == [3] * 8 + [1] * (tokens.size - 8) + [5] * 3


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "gpt2-exact"])  # llama.cpp has no such GELU
def test_llama_cpp_writes_the_same_hundred_tokens(shape: str, tokens: Tokens) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python isn't installed: no llama.cpp to ask")
    model = model_of(shape, tokens.size)
    save_gguf(model, tokens, "model.gguf", kind="f32")
    f32 = llama_cpp.GGML_TYPE_F32
    theirs = llama_cpp.Llama(
        "model.gguf", n_ctx=160, n_threads=1, logits_all=True, verbose=False, type_k=f32, type_v=f32, flash_attn=False
    )
    for text in HARD:
        assert theirs.tokenize(text.encode(), add_bos=False, special=False) == tokens.encode_text(text)
    ids = torch.randint(8, tokens.size, (1, 40), generator=torch.Generator().manual_seed(0))
    written: list[int] = []
    theirs.eval(ids[0].tolist())
    with torch.no_grad():
        rounding = 5e-3 if model.plain else 1e-3  # llama.cpp looks GELU up in a table of half precision
        np.testing.assert_allclose(theirs.scores[:40], model(ids)[0].numpy(), atol=rounding, rtol=0)
    barred = [i for i in tokens.specials.values() if i not in tokens.stop_ids]
    while len(written) < 100 and not (written and written[-1] in tokens.stop_ids):
        logits = np.array(theirs.scores[theirs.n_tokens - 1])
        logits[barred] = -np.inf
        written.append(int(logits.argmax()))
        theirs.eval(written[-1:])
    theirs.close()
    assert written == greedy(model, tokens, ids[0].tolist())


def test_what_differs_in_llama_cpp_is_told() -> None:
    pytest.importorskip("gguf")
    plain = Tokens.fit("text", TEXTS, "bpe", size=330, lower=True)
    notes = save_gguf(model_of("gpt2", plain.size), plain, "model.gguf")
    assert ["NFC" in notes[0], "lower-cases" in notes[1]] == [True, True]


def test_what_no_other_program_has_is_refused_and_leaves_nothing(tokens: Tokens) -> None:
    pytest.importorskip("gguf")
    both = GPT(tokens.size, 64, 4, 1, qkv_bias=True)
    for save in (save_hf, save_gguf):
        with pytest.raises(UserError, match="qk_norm and qkv_bias"):
            save(both, tokens, "out")
    wide = GPT(tokens.size, 64, 4, 1, plain=True, kv_heads=2)
    with pytest.raises(UserError, match="kv_heads=2"):
        save_hf(wide, tokens, "out")
    narrow = GPT(tokens.size, 64, 4, 1, qk_norm=False, qkv_bias=True, head_width=12)
    with pytest.raises(UserError, match="head_width=12"):
        save_gguf(narrow, tokens, "out")
    letters = Tokens.fit("text", TEXTS, "characters")
    with pytest.raises(UserError, match=r"characters.*byte-level BPE"):
        save_gguf(model_of("qwen3", letters.size), letters, "out")
    with pytest.raises(UserError, match="no type 'q4_0'"):
        save_gguf(model_of("qwen3", tokens.size), tokens, "out", kind="q4_0")
    assert not list(Path().iterdir())


def test_a_full_disk_leaves_nothing(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = pytest.importorskip("gguf")
    model = model_of("qwen3", tokens.size)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gradus.language.hf.save_file", full)
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    for save in (save_hf, save_gguf):
        with pytest.raises(UserError, match="out: can't be written: No space left on device"):
            save(model, tokens, "below/out")
    assert not list(Path("below").iterdir())


def test_nothing_that_is_there_is_written_over(tokens: Tokens) -> None:
    pytest.importorskip("gguf")
    model = model_of("qwen3", tokens.size)
    Path("empty").mkdir()
    save_hf(model, tokens, "empty")
    with pytest.raises(UserError, match="isn't an empty directory"):
        save_hf(model, tokens, "empty")
    Path("file").write_text("mine")
    for save in (save_hf, save_gguf):
        with pytest.raises(UserError, match="file: is there already"):
            save(model, tokens, "file")
    assert Path("file").read_text() == "mine"


def test_a_missing_package_is_one_line(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"gguf isn't installed.*pip install 'gradus\[export\]'"):
        save_gguf(model_of("qwen3", tokens.size), tokens, "out")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small language model, as the recipe gpt makes them."""
    place = tmp_path_factory.mktemp("lm")
    (place / "text.txt").write_text("".join(TEXTS) * 10, encoding="utf-8")
    text = gd.data.corpus(place / "text.txt", tokens="bpe", size=300, length=32)
    model = GPT(text.num_tokens, 32, 2, 1, max_length=32)
    return gd.train(model, text, gd.tasks.for_target(text), steps=5, out=str(place / "run"), quiet=True).path


def test_export_from_the_command_line(run: Path, gradus: Command) -> None:
    pytest.importorskip("gguf")
    status, out, _ = gradus("export", run, "--to", "hf")
    assert status == 0
    assert "Qwen3ForCausalLM" in out
    assert "exports/run-hf" in out
    card = Path("exports/run-hf/README.md").read_text(encoding="utf-8")
    summary = json.loads((run / "summary.json").read_text())
    for told in (f"{summary['parameters']:,} parameters", "text.txt", f"{summary['metrics']['test']['loss']:.4g}"):
        assert told in card
    pytest.importorskip("transformers")
    code = card.partition("```python\n")[2].partition("```")[0]
    assert 'from_pretrained("run-hf")' in code
    with contextlib.chdir("exports"), contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    assert said.getvalue().startswith("Once")
    assert gradus("export", run, "--to", "gguf", "--type", "q8_0", "--out", "a/b.gguf")[0] == 0
    assert Path("a/b.gguf").is_file()
    status, out, _ = gradus("export", "exports/run-hf", "--to", "gguf")  # what is a Hugging Face directory goes as well
    assert status == 0
    assert Path("exports/run-hf-f16.gguf").is_file()
    assert not list(Path().rglob(".*"))


def test_bad_exports_are_one_line_each(run: Path, gradus: Command) -> None:
    digits = gd.data.digits()
    other = gd.train(gd.models.MLP(64, 4, 10), digits, gd.tasks.for_target(digits), steps=2, out="digits", quiet=True)
    Path("taken").write_text("")
    Path("begun").mkdir()
    Path("begun/config.json").write_text((run / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    for arguments, told in (
        (["nothere", "--to", "hf"], "nothere: no such run"),
        ([run, "--to", "hf", "--type", "q8_0"], "--type q8_0: --to hf stores weights as"),
        ([run, "--to", "hf", "--out", "taken"], "taken: is there already"),
        (["begun", "--to", "hf"], "begun: not finished yet"),
        ([other.path, "--to", "hf"], "its model is MLP"),
        ([other.path, "--to", "gguf"], "its model is MLP"),
        ([run, "--to", "tflite"], "'tflite' is not one of 'hf', 'gguf', 'onnx'"),
    ):
        status, out, err = gradus("export", *arguments)
        assert (status, out) == (2, ""), told
        assert told in err
        assert err.count("\n") == 1
    assert not Path("exports").exists()
