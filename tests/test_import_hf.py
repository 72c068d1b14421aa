"""Directories that transformers saved, read without it: the same logits, the same texts; what can't be read is told."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gradus.data import Tokens
from gradus.errors import UserError
from gradus.language import LanguageModel, Sampling, generate
from gradus.language.hf import load_hf, save_hf

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

Change = Callable[[dict[str, Any]], object]
SIZES = dict(
    vocab_size=300, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, pad_token_id=None, bos_token_id=2, eos_token_id=3,
)  # fmt: skip
MADE: dict[str, Callable[[], Any]] = {
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SIZES, head_dim=10)),
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            **SIZES, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 777.0}
        )
    ),
    "llama-3": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            **SIZES,
            head_dim=16,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 900.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 24,
            },
        )
    ),
    "qwen3-linear": lambda: transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            **SIZES, head_dim=8, rope_parameters={"rope_type": "linear", "rope_theta": 900.0, "factor": 4.0}
        )
    ),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES, rms_norm_eps=1e-5)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=2, eos_token_id=3
        )
    ),
    "gpt2-exact": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=300,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=64,
            activation_function="gelu",
            bos_token_id=2,
            eos_token_id=3,
        )
    ),
}


def made(family: str) -> Any:
    torch.manual_seed(2)
    model = MADE[family]().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.15 + (weight.ndim == 1))
    return model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A byte-level tokenizer such as others make, with ids of its own."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|x|>", "<|begin|>", "<|go|>", "<|stop|>"], initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(["the thing that they think there"] * 9, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|go|>", eos_token="<|stop|>")


def saved(family: str, tokenizer: Any, **options: Any) -> Any:
    model = made(family)
    model.save_pretrained("theirs", **options)
    tokenizer.save_pretrained("theirs")
    return model


def ids_of(batch: int, time: int) -> torch.Tensor:
    return torch.randint(4, 270, (batch, time), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("family", MADE)
def test_the_same_logits_and_the_same_text(family: str, shards: bool, tokenizer: Any) -> None:
    theirs = saved(family, tokenizer, max_shard_size="20KB" if shards else "5GB")
    assert Path("theirs/model.safetensors.index.json").exists() is shards
    model, tokens = load_hf("theirs")
    assert not model.training
    ids = ids_of(3, 64)
    with torch.no_grad():
        wanted = theirs(ids).logits
        assert wanted.std() > 0.05
        torch.testing.assert_close(model(ids), wanted, atol=1e-5, rtol=0)
    assert tokens.encode_text("the thing") == tokenizer("the thing")["input_ids"]
    assert (tokens.eos_id, tokens.bos_id) == (3, 2)

    lm = LanguageModel.load("theirs", device="cpu", quantise="none")
    prompts = [ids_of(1, 9)[0].tolist(), ids_of(1, 20)[0].tolist()]
    answers = generate(lm, prompts, Sampling(temperature=0, max_tokens=30))
    for prompt, answer in zip(prompts, answers, strict=True):
        asked = torch.tensor([prompt])
        written = theirs.generate(
            asked, attention_mask=torch.ones_like(asked), max_new_tokens=30, do_sample=False,
            suppress_tokens=[0, 1, 2, *range(tokens.size, 300)],
        )  # fmt: skip
        assert answer.tokens == written[0, len(prompt) :].tolist()


def test_half_precision_in_the_file_is_exact_in_memory(tokenizer: Any) -> None:
    made("qwen3").bfloat16().save_pretrained("theirs")
    tokenizer.save_pretrained("theirs")
    theirs = transformers.AutoModelForCausalLM.from_pretrained("theirs", dtype=torch.float32)
    ids = ids_of(2, 30)
    with torch.no_grad():
        wanted = theirs(ids).logits
    model, _ = load_hf("theirs")
    assert model.embed.weight.dtype == torch.float32
    torch.testing.assert_close(model(ids), wanted, atol=1e-5, rtol=0)
    assert load_hf("theirs", dtype=torch.bfloat16)[0].embed.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("family", MADE)
def test_out_again_it_is_the_same_model(family: str, tokenizer: Any) -> None:
    theirs = saved(family, tokenizer)
    save_hf(*load_hf("theirs"), "ours")
    again = transformers.AutoModelForCausalLM.from_pretrained("ours")
    assert type(again) is type(theirs)
    ids = ids_of(2, 40)
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, theirs(ids).logits, atol=1e-5, rtol=0)
    read = transformers.AutoTokenizer.from_pretrained("ours")
    assert read("they think")["input_ids"] == tokenizer("they think")["input_ids"]


def edited(change: Change) -> None:
    file = Path("theirs/config.json")
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def test_a_config_as_older_versions_wrote_it(tokenizer: Any) -> None:
    theirs = saved("llama", tokenizer)

    def older(config: dict[str, Any]) -> None:
        rope = config.pop("rope_parameters")
        for key in ("head_dim", "rms_norm_eps", "attention_bias", "mlp_bias"):
            config.pop(key)
        config |= dict(rope_theta=rope["rope_theta"], rope_scaling=None, torch_dtype="float32")

    edited(older)
    ids = ids_of(2, 40)
    torch.testing.assert_close(load_hf("theirs")[0](ids), theirs(ids).logits, atol=1e-5, rtol=0)


def test_a_file_of_torch_save_is_read_only_where_nothing_in_it_can_run(tokenizer: Any) -> None:
    theirs = saved("gpt2", tokenizer)
    weights = load_file("theirs/model.safetensors")
    Path("theirs/model.safetensors").unlink()
    masks = {f"h.{n}.attn.bias": torch.ones(1, 1, 64, 64) for n in range(2)}  # as the first GPT-2 files have them
    torch.save({k.removeprefix("transformer."): v for k, v in weights.items()} | masks, "theirs/pytorch_model.bin")
    ids = ids_of(2, 40)
    torch.testing.assert_close(load_hf("theirs")[0](ids), theirs(ids).logits, atol=1e-5, rtol=0)

    class Wicked:
        def __reduce__(self) -> Any:
            return os.mkdir, ("ran",)

    Path("theirs/pytorch_model.bin").write_bytes(pickle.dumps(Wicked(), protocol=2))
    with pytest.raises(UserError, match=r"refused: it is a pickle that asks for posix\.mkdir"):
        load_hf("theirs")
    assert not Path("ran").exists()


REFUSED: list[tuple[str, Change, str]] = [
    ("llama", lambda c: c.update(model_type="mamba"), "model_type = 'mamba'"),
    ("llama", lambda c: c.pop("model_type"), "model_type = None"),
    ("llama", lambda c: c.update(architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
    ("llama", lambda c: c.update(mlp_bias=True), "mlp_bias = True"),
    ("llama", lambda c: c.update(attention_bias=True), "attention_bias = True"),
    ("qwen3", lambda c: c.update(attention_bias=True), "attention_bias = True"),
    ("llama", lambda c: c.update(hidden_act="gelu"), "hidden_act = 'gelu'"),
    ("llama", lambda c: c.update(quantization_config={"bits": 4}), "quantization_config = {'bits': 4}"),
    ("qwen2", lambda c: c.update(use_sliding_window=True), "use_sliding_window = True"),
    ("qwen3", lambda c: c.update(layer_types=["sliding_attention"]), "layer_types = 'sliding_attention'"),
    ("qwen3", lambda c: c.update(rope_parameters={"rope_type": "yarn", "factor": 4.0}), "rope_type = 'yarn'"),
    ("llama", lambda c: c.update(rope_scaling={"type": "dynamic", "factor": 2.0}, rope_parameters=None), "'dynamic'"),
    ("llama", lambda c: c.update(rope_parameters={"rope_type": "linear"}), "factor = None"),
    ("llama", lambda c: c["rope_parameters"].update(partial_rotary_factor=0.5), "partial_rotary_factor = 0.5"),
    ("llama", lambda c: c["rope_parameters"].update(rope_theta="big"), "rope_theta = 'big'"),
    ("llama", lambda c: c.update(num_key_value_heads=3), "num_key_value_heads = 3"),
    ("llama", lambda c: c.update(vocab_size=0), "vocab_size = 0"),
    ("llama", lambda c: c.update(vocab_size=200), "vocab_size = 200, but the tokenizer beside it has 27"),
    ("llama", lambda c: c.pop("hidden_size"), "hidden_size = None"),
    ("llama", lambda c: c.update(num_hidden_layers=3), "has no 'model.layers.2.input_layernorm.weight' and 8 more"),
    ("llama", lambda c: c.update(num_hidden_layers=1), "no place for: 'model.layers.1."),
    ("llama", lambda c: c.update(intermediate_size=41), r"gate_proj.weight' is \(40, 32\), but by config.json"),
    ("llama", lambda c: c.update(tie_word_embeddings=False), "has no 'lm_head.weight'"),
    ("gpt2", lambda c: c.update(activation_function="relu"), "activation_function = 'relu'"),
    ("gpt2", lambda c: c.update(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx = True"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "change", "told"), REFUSED, ids=[told for *_, told in REFUSED])
def test_what_a_gpt_has_no_part_for_is_refused_by_its_key(
    family: str, change: Change, told: str, tokenizer: Any
) -> None:
    saved(family, tokenizer)
    edited(change)
    with pytest.raises(UserError, match=told) as caught:
        load_hf("theirs")
    assert "\n" not in str(caught.value)
    assert "theirs" in str(caught.value)


def test_damaged_directories_are_one_line_each(tokenizer: Any) -> None:
    saved("qwen3", tokenizer, max_shard_size="20KB")
    shard = next(iter(sorted(Path("theirs").glob("model-*.safetensors"))))
    whole = shard.read_bytes()
    for change, told in (
        (lambda: shard.write_bytes(whole[:-100]), "damaged"),
        (lambda: shard.unlink(), "aren't there"),
        (lambda: Path("theirs/model.safetensors.index.json").write_text("{}"), "damaged"),
        (lambda: Path("theirs/config.json").write_text("[]"), "not an object"),
        (lambda: Path("theirs/config.json").write_text("{"), "can't be read"),
        (lambda: Path("theirs/config.json").unlink(), "not there"),
    ):
        change()
        with pytest.raises(UserError, match=told) as caught:
            load_hf("theirs")
        assert "\n" not in str(caught.value)
    saved("qwen3", tokenizer)
    Path("theirs/tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        load_hf("theirs")


def test_quantised_weights_are_refused(tokenizer: Any) -> None:
    saved("llama", tokenizer)
    weights = load_file("theirs/model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].to(torch.int8)
    save_file(weights, "theirs/model.safetensors")
    with pytest.raises(UserError, match=r"'model\.norm\.weight' is of torch\.int8"):
        load_hf("theirs")


def test_weights_are_copies_and_the_file_may_go(tokenizer: Any) -> None:
    saved("gpt2", tokenizer)
    model, _ = load_hf("theirs")
    before = model.places.clone() if model.places is not None else None
    size = Path("theirs/model.safetensors").stat().st_size
    with Path("theirs/model.safetensors").open("r+b") as file:
        file.write(b"\0" * size)
    assert before is not None
    assert model.places is not None
    assert torch.equal(model.places, before)
    assert torch.equal(model.head.weight, model.embed.weight)


def test_a_tokenizer_of_ours_is_ours_again() -> None:
    ours = Tokens.fit("text", ["the thing that they think there"] * 9, "chat", size=280)
    from gradus.models import GPT

    save_hf(GPT(ours.size, 32, 4, 1), ours, "out")
    _, again = load_hf("out")
    assert (again.tokenizer, again.stop_ids, again.template) == (ours.tokenizer, ours.stop_ids, ours.template)
