"""``gd.load_weights`` against torch's own ``load_state_dict``: no name is lost, nothing runs, whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

import gradus as gd
from gradus.errors import UserError

Tensors = dict[str, Tensor]


class Net(nn.Module):
    """Weights, buffers, a whole number that is a buffer, a lone number: what a dict of weights can hold."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU())
        self.head = nn.Linear(width, 2)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("place", torch.arange(3))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def fresh(seed: int, make: Callable[[], nn.Module] = Net) -> nn.Module:
    torch.manual_seed(seed)
    model = make()
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape) * 3)
    return model


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: t.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes() for name, t in
            model.state_dict().items()}  # fmt: skip


def legacy(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Callable[[Tensors, Path], None]] = {
    "a.safetensors": lambda tensors, path: save_file(tensors, path),
    "a.pth": lambda tensors, path: torch.save(OrderedDict(tensors), path),
    "a.pt": legacy,
    "a.ckpt": lambda tensors, path: torch.save({"epoch": 3, "loss": torch.tensor(0.5), "state_dict": tensors}, path),
    "a.bin": lambda tensors, path: legacy({"model_state_dict": tensors, "optimizer": {"state": {0: {}}}}, path),
    "no-suffix": lambda tensors, path: save_file(tensors, path),
}


@pytest.mark.parametrize("file", WRITERS)
def test_every_format_gives_the_bits_that_torch_gives(file: str, tmp_path: Path) -> None:
    tensors = fresh(1).state_dict()
    WRITERS[file](tensors, tmp_path / file)
    ours, reference = fresh(2), fresh(2)
    reference.load_state_dict(tensors)
    ours.eval()
    told = gd.load_weights(ours, tmp_path / file)
    assert bits(ours) == bits(reference)
    assert sorted(told.loaded) == sorted(tensors)
    assert (told.missing, told.unexpected, told.misshapen, told.nonfinite) == ([], [], {}, {})
    assert not ours.training
    assert all(p.requires_grad for p in ours.parameters())


def test_entries_that_are_no_weights_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"epoch": 7, "best": torch.tensor(0.5), "net": {**fresh(1).state_dict(), "version": 2}, "args": {"lr": 1}}
    torch.save(content, tmp_path / "a.pth")
    told = gd.load_weights(fresh(2), tmp_path / "a.pth")
    assert told.source.endswith("entry 'net'")
    assert told.ignored == ["epoch", "best", "args", "version"]
    assert "left out: epoch, best, args, version" in capsys.readouterr().err


def test_a_plain_load_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(fresh(1).state_dict(), tmp_path / "a.safetensors")
    told = gd.load_weights(fresh(2), tmp_path / "a.safetensors")
    assert capsys.readouterr() == ("", "")
    assert str(told) == f"{tmp_path / 'a.safetensors'}: 11 tensors loaded"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_names_and_shapes_that_do_not_fit_are_those_that_torch_names(data: st.DataObject) -> None:
    whole = fresh(1).state_dict()
    gone = data.draw(st.sets(st.sampled_from(sorted(whole)), max_size=10))
    odd = data.draw(st.sets(st.sampled_from(sorted(whole))))
    more = data.draw(st.sets(st.sampled_from(["extra", "head.extra", "body.9.weight"])))
    tensors = {name: torch.ones(7, 7) if name in odd else t for name, t in whole.items() if name not in gone}
    tensors |= {name: torch.ones(2) for name in more}
    torch.save(tensors, "a.pth")
    ours, reference = fresh(2), fresh(2)
    fitting = {name: t for name, t in tensors.items() if name not in odd}
    missing, unexpected = reference.load_state_dict(fitting, strict=False)
    before = bits(ours)
    if missing or unexpected or odd - gone:
        with pytest.raises(UserError) as refused:
            gd.load_weights(ours, "a.pth")
        assert bits(ours) == before
        assert "\n" not in str(refused.value)
        for name in (*missing, *unexpected):
            assert name in str(refused.value)
        for name in odd - gone:
            shape = "×".join(map(str, whole[name].shape)) or "one number"
            assert f"{name} is 7×7 in the file and {shape} in the model" in str(refused.value)
    if fitting.keys() & whole.keys():
        told = gd.load_weights(ours, "a.pth", partial=True)
        assert bits(ours) == bits(reference)
        assert set(told.missing) == set(missing) - (odd - gone)
        assert set(told.unexpected) == set(unexpected)
        assert set(told.misshapen) == odd - gone


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "backbone.encoder."])
def test_a_prefix_is_taken_away_and_told(prefix: str, tmp_path: Path) -> None:
    tensors = fresh(1).state_dict()
    torch.save({prefix + name: t for name, t in tensors.items()}, tmp_path / "a.pth")
    model = fresh(2)
    told = gd.load_weights(model, tmp_path / "a.pth")
    assert bits(model) == bits(fresh(1))
    assert f"'{prefix}' taken away" in str(told)


def test_a_prefix_is_put_before_the_names_for_a_wrapped_model(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = Net()

    save_file(fresh(1).state_dict(), tmp_path / "a.safetensors")
    model = fresh(2, Wrapped)
    assert "'module.' put before the names" in str(gd.load_weights(model, tmp_path / "a.safetensors"))
    assert list(bits(model).values()) == list(bits(fresh(1)).values())


def test_a_prefix_that_is_the_models_own_stays(tmp_path: Path) -> None:
    both = nn.ModuleDict({"model": nn.Linear(2, 2), "module": nn.Linear(2, 2)})
    save_file(both.state_dict(), tmp_path / "a.safetensors")
    other = nn.ModuleDict({"model": nn.Linear(2, 2), "module": nn.Linear(2, 2)})
    assert gd.load_weights(other, tmp_path / "a.safetensors").notes == []
    assert bits(other) == bits(both)


def test_names_that_would_meet_are_not_stripped(tmp_path: Path) -> None:
    """Both "weight" and "model.weight" in a file: neither may take the other's place unseen."""
    torch.save({"model.weight": torch.ones(2, 2), "weight": torch.zeros(2, 2), "model.bias": torch.ones(2)}, "a.pth")
    model = nn.Linear(2, 2)
    before = bits(model)
    with pytest.raises(UserError, match=r"unexpected: model\.weight, model\.bias"):
        gd.load_weights(model, "a.pth")
    assert bits(model) == before


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_checkpoint_of_lightning(tmp_path: Path) -> None:
    lit = pytest.importorskip("lightning")

    class Module(lit.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = Net()
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(2))

        def training_step(self, batch: Any, index: int) -> Tensor:
            x, y = batch
            hidden = self.model.body(x) * self.model.scale
            return self.criterion(self.model.head(hidden), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    rows = torch.utils.data.TensorDataset(torch.randn(8, 3), torch.randint(0, 2, (8,)))
    trainer = lit.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    module = Module()
    trainer.fit(module, torch.utils.data.DataLoader(rows, batch_size=4))
    trainer.save_checkpoint("whole.ckpt")
    model = fresh(2)
    with pytest.raises(UserError, match=r"entry 'state_dict': .* 1 unexpected: criterion\.weight"):
        gd.load_weights(model, "whole.ckpt")
    told = gd.load_weights(model, "whole.ckpt", partial=True)
    assert bits(model) == bits(module.model)
    assert told.unexpected == ["criterion.weight"]
    assert "optimizer_states" in told.ignored


def test_of_two_dicts_that_fit_the_weights_come_before_the_average_and_both_are_told() -> None:
    torch.save({"ema": fresh(3).state_dict(), "model": fresh(1).state_dict()}, "a.pth")
    model = fresh(2)
    told = gd.load_weights(model, "a.pth")
    assert bits(model) == bits(fresh(1))
    assert told.notes == ["'ema' of the file would have fitted as well"]


def test_other_dtypes_are_converted_and_told() -> None:
    half = {name: t.bfloat16() if t.is_floating_point() else t for name, t in fresh(1).state_dict().items()}
    save_file(half, "a.safetensors")
    ours, reference = fresh(2), fresh(2)
    told = gd.load_weights(ours, "a.safetensors")
    reference.load_state_dict(half)
    assert bits(ours) == bits(reference)
    assert ours.scale.dtype == torch.float32
    assert told.converted["head.weight"] == "bfloat16 to float32"
    assert "place" not in told.converted
    assert "9 converted from bfloat16 to float32" in str(told)


def test_numbers_that_are_not_finite_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    tensors = fresh(1).state_dict()
    tensors["head.weight"][0, :2] = torch.tensor([float("nan"), float("-inf")])
    save_file(tensors, "a.safetensors")
    model = fresh(2)
    assert gd.load_weights(model, "a.safetensors").nonfinite == {"head.weight": 2}
    assert "warning: not finite after loading: head.weight (2)" in capsys.readouterr().err
    assert bits(model) == bits_of(tensors)
    save_file({"weight": torch.tensor([[1e6, 1.0]]), "bias": torch.tensor([1.0])}, "wide.safetensors")
    assert gd.load_weights(nn.Linear(2, 1).half(), "wide.safetensors").nonfinite == {"weight": 1}


def bits_of(tensors: Tensors) -> dict[str, bytes]:
    model = Net()
    model.load_state_dict(tensors)
    return bits(model)


def test_complex_numbers_do_not_lose_their_imaginary_part() -> None:
    save_file({"weight": torch.ones(2, 2, dtype=torch.complex64), "bias": torch.ones(2)}, "a.safetensors")
    with pytest.raises(UserError, match="weight is complex64, strided in the file and float32, strided in the model"):
        gd.load_weights(nn.Linear(2, 2), "a.safetensors")


def test_tied_weights_come_from_one_copy_or_two_that_are_equal() -> None:
    save_model(fresh(1, Tied), "one.safetensors")  # which leaves the second name out, as transformers does
    assert len(load_file("one.safetensors")) == 1
    model = fresh(2, Tied)
    told = gd.load_weights(model, "one.safetensors")
    assert bits(model) == bits(fresh(1, Tied))
    assert model.head.weight is model.embed.weight
    assert (told.missing, len(told.tied)) == ([], 1)
    torch.save(fresh(1, Tied).state_dict(), "two.pth")
    again = fresh(2, Tied)
    assert gd.load_weights(again, "two.pth").tied == {}
    assert bits(again) == bits(model)


def test_weights_that_are_one_here_and_two_in_the_file_are_refused() -> None:
    save_file({"embed.weight": torch.ones(5, 3), "head.weight": torch.zeros(5, 3)}, "a.safetensors")
    model = fresh(2, Tied)
    before = bits(model)
    with pytest.raises(UserError, match=r"head\.weight is the same weight as embed\.weight in the model"):
        gd.load_weights(model, "a.safetensors")
    assert bits(model) == before
    gd.load_weights(model, "a.safetensors", partial=True)
    assert torch.equal(model.head.weight, torch.ones(5, 3))


class Breaking(nn.Linear):
    """Its weights are copied, and then something goes wrong."""

    error: BaseException = RuntimeError("planted")

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("planted"), KeyboardInterrupt(), MemoryError("planted")])
@pytest.mark.parametrize("partial", [False, True])
def test_where_copying_fails_midway_the_model_stays_as_it_was(error: BaseException, partial: bool) -> None:
    tensors = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)).state_dict()
    torch.save(tensors, "a.pth")
    last = Breaking(3, 3)
    last.error = error
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), last)
    before = bits(model)
    expected = UserError if isinstance(error, RuntimeError) else type(error)
    with pytest.raises(expected):
        gd.load_weights(model, "a.pth", partial=partial)
    assert bits(model) == before


def test_a_weight_that_cannot_be_written_to_is_one_line_and_nothing_changes() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    torch.save(model.state_dict(), "a.pth")
    model[1].weight = nn.Parameter(torch.ones(3).expand(3, 3))  # one number for three places
    before = bits(model)
    with pytest.raises(UserError, match="can't be copied into the model, which stays as it was"):
        gd.load_weights(nn.Sequential(model[0], model[1]), "a.pth")
    assert bits(model) == before


def test_models_without_memory_are_told_what_to_do() -> None:
    torch.save(nn.Linear(3, 3).state_dict(), "a.pth")
    with pytest.raises(UserError, match="call the model with a batch first"):
        gd.load_weights(nn.LazyLinear(3), "a.pth")
    with pytest.raises(UserError, match="to_empty"):
        gd.load_weights(nn.Linear(3, 3, device="meta"), "a.pth")


# pickles that need more, and files that are no weights


class Harm:
    """What an attacker would save: a call of the system, hidden in the weights."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle", "plain pickle 4", "inside"])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_a_pickle_that_needs_more_is_refused_and_runs_nothing(
    kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # that somebody's shell allows it changes nothing
    path = Path("a" + suffix)
    harm = {"weight": torch.ones(2, 2), "bias": Harm()}
    if kind == "zip":
        torch.save(harm, path)
    elif kind == "inside":
        torch.save({"state_dict": nn.Linear(2, 2).state_dict(), "hook": Harm()}, path)
    elif kind == "legacy":
        legacy(harm, path)
    else:
        path.write_bytes(pickle.dumps({"bias": Harm()}, protocol=4 if kind.endswith("4") else 2))
    model = nn.Linear(2, 2)
    before = bits(model)
    with pytest.raises(UserError) as refused:
        gd.load_weights(model, path, partial=True)
    assert not Path("harmed").exists()
    assert bits(model) == before
    if suffix != ".safetensors" and not kind.endswith("4"):  # which torch's reader gives up before the call
        assert "refused: it is a pickle that asks for posix.system" in str(refused.value)
        assert "could run any code" in str(refused.value)
        assert "safetensors.torch.save_model" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_whole_module_and_numpy_scalars_are_refused_by_their_names() -> None:
    torch.save(Net(), "module.pth")
    with pytest.raises(UserError, match=r"asks for .*test_weights\.Net"):
        gd.load_weights(Net(), "module.pth")
    torch.save({"state_dict": Net().state_dict(), "best": np.float64(0.5)}, "numpy.pth")
    with pytest.raises(UserError, match=r"asks for .*multiarray\.scalar"):
        gd.load_weights(Net(), "numpy.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 4\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>404</html>", "not a file of weights"),
        (b"PK\x03\x04 cut short", "damaged"),
        (b"\x00" * 64, "damaged"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_that_are_no_weights(content: bytes, words: str, name: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=words) as refused:
        gd.load_weights(Net(), name)
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_other_things_are_told_for_what_they_are(tmp_path: Path) -> None:
    def told(path: str) -> str:
        with pytest.raises(UserError) as refused:
            gd.load_weights(Net(), path)
        return str(refused.value)

    torch.jit.script(nn.Linear(2, 2)).save("program.pt")
    assert "TorchScript" in told("program.pt")
    np.savez("arrays.npz", weight=np.ones(3))
    assert "not one that torch.save wrote" in told("arrays.npz")
    torch.save(torch.ones(3), "tensor.pt")
    assert "no dict of tensors by name in it: a Tensor" in told("tensor.pt")
    torch.save({"epoch": 3, "list": [torch.ones(3)]}, "none.pt")
    assert "it holds epoch, list" in told("none.pt")
    torch.save({}, "nothing.pt")
    assert "it holds nothing" in told("nothing.pt")
    assert "no such file" in told("absent.pth")
    torch.save(nn.Linear(5, 5).state_dict(), "other.pth")
    assert "no name fits: is it another model's?" in told("other.pth")
    Path("folder").mkdir()
    Path("folder/best.pth").write_bytes(b"x")
    assert "name one of its files: best.pth" in told("folder")
    with zipfile.ZipFile("packed.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/data.pkl", b"x" * 1000)
    assert "compressed" in told("packed.pth")


# folders


def shards(folder: Path, tensors: Tensors) -> None:
    folder.mkdir()
    names = sorted(tensors)
    parts = {"model-1-of-2.safetensors": names[:4], "model-2-of-2.safetensors": names[4:]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")


def test_a_folder_in_parts(tmp_path: Path) -> None:
    shards(tmp_path / "hf", fresh(1).state_dict())
    for path in (tmp_path / "hf", tmp_path / "hf/model.safetensors.index.json"):
        model = fresh(2)
        gd.load_weights(model, path)
        assert bits(model) == bits(fresh(1))
    index = tmp_path / "hf/model.safetensors.index.json"
    whole = json.loads(index.read_text())
    for damage, words in (
        ({"weight_map": {"head.weight": "../a.safetensors"}}, "outside its folder"),
        ({"weight_map": {**whole["weight_map"], "more": "model-1-of-2.safetensors"}}, "has no 'more'"),
        ({"weight_map": {"a": 5}}, "damaged"),
        ([], "damaged"),
    ):
        index.write_text(json.dumps(damage))
        with pytest.raises(UserError, match=words):
            gd.load_weights(fresh(2), tmp_path / "hf")
    index.write_text(json.dumps(whole))
    (tmp_path / "hf/model-2-of-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"1 of its 2 parts aren't there: model-2-of-2\.safetensors"):
        gd.load_weights(fresh(2), tmp_path / "hf")


def test_a_folder_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=4, n_layer=1, n_head=1)
    saved, model = transformers.GPT2LMHeadModel(config), transformers.GPT2LMHeadModel(config)
    for size in ("5GB", "1KB"):
        saved.save_pretrained(tmp_path / size, max_shard_size=size)
        gd.load_weights(model, tmp_path / size)
        assert bits(model) == bits(saved)


def test_a_run_and_its_parts(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    trained = gd.models.MLP(3, 4, 1, batch_norm=True)
    gd.train(trained, gd.data.arrays(x, x.sum(1)), steps=6, save_every="2 steps", quiet=True, out="run")
    for path in (
        "run",
        "run/predictor",
        "run/predictor/model.safetensors",
        "run/checkpoints",
        "run/checkpoints/00000006",
    ):
        model = gd.models.MLP(3, 4, 1, batch_norm=True)
        gd.load_weights(model, path)
        assert bits(model) == bits(trained), path
    shutil.rmtree("run/predictor")
    *_, before, step = sorted(int(p.name) for p in Path("run/checkpoints").iterdir())
    newest = Path(f"run/checkpoints/{step:08d}/model.safetensors")
    flipped = bytearray(newest.read_bytes())
    flipped[-1] ^= 1
    newest.write_bytes(flipped)
    told = gd.load_weights(gd.models.MLP(3, 4, 1, batch_norm=True), "run")
    assert told.notes[0].startswith(f"checkpoint {step} passed over: ")
    assert told.notes[1] == f"the newest checkpoint's weights, after step {before}"
    with pytest.raises(UserError, match="damaged: it is not the file that was saved"):
        gd.load_weights(gd.models.MLP(3, 4, 1, batch_norm=True), newest.parent)


# damage: a line or the right weights, never a traceback, never a model that is half loaded


def damaged(data: st.DataObject, content: bytes) -> bytes:
    kind = data.draw(st.sampled_from(["cut", "flip", "zero", "grow"]))
    if kind == "cut":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    if kind == "grow":
        return content + data.draw(st.binary(min_size=1, max_size=64))
    at = data.draw(st.integers(0, len(content) - 1))
    out = bytearray(content)
    for place in range(at, min(at + data.draw(st.integers(1, 8)), len(out))):
        out[place] = 0 if kind == "zero" else out[place] ^ data.draw(st.integers(1, 255))
    return bytes(out)


def independent(name: str) -> Tensors | None:
    """What the file says by the format's own reader; None where that refuses it."""
    try:
        content = load_file(name) if name == "a.safetensors" else torch.load(name, "cpu", weights_only=True)
    except Exception:
        return None
    return next((value for value in content.values() if isinstance(value, dict) and len(value) > 3), content)


def refusal(model: nn.Module, file: str) -> str | None:
    try:
        gd.load_weights(model, file)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # from the independent reader
@pytest.mark.parametrize("file", ["a.safetensors", "a.pth", "a.pt", "a.ckpt", "a.bin"])
def test_a_damaged_file_is_refused_or_says_the_same(file: str) -> None:
    WRITERS[file](fresh(1).state_dict(), Path(file))
    whole = Path(file).read_bytes()

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        Path(file).write_bytes(damaged(data, whole))
        model = fresh(2)
        before = bits(model)
        said = refusal(model, file)
        if said is not None:
            assert "\n" not in said
            assert bits(model) == before
            return
        if file in ("a.pth", "a.ckpt"):  # the zip's sums find every byte of a weight that was changed
            assert bits(model) == bits(fresh(1))
        else:  # these formats have no sums: what the file says now is what is loaded
            says = independent(file)
            assert says is not None
            assert bits(model) == bits_of({name.removeprefix("module."): t for name, t in says.items()})

    check()


def test_a_changed_weight_in_a_zip_is_found_which_torch_itself_reads_in_silence() -> None:
    tensors = fresh(1).state_dict()
    torch.save(tensors, "a.pth")
    content = bytearray(Path("a.pth").read_bytes())
    at = bytes(content).find(tensors["head.weight"].numpy().tobytes())
    content[at + 2] ^= 1
    Path("a.pth").write_bytes(content)
    assert not torch.equal(torch.load("a.pth", weights_only=True)["head.weight"], tensors["head.weight"])
    with pytest.raises(UserError, match="damaged"):
        gd.load_weights(fresh(2), "a.pth")


def test_a_zip_that_was_written_without_sums_is_read() -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(fresh(1).state_dict(), "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    model = fresh(2)
    gd.load_weights(model, "a.pth")
    assert bits(model) == bits(fresh(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_the_device_of_the_model_is_kept() -> None:
    save_file(fresh(1).state_dict(), "a.safetensors")
    model = fresh(2).to("cuda")
    gd.load_weights(model, "a.safetensors")
    assert {t.device.type for t in model.state_dict().values()} == {"cuda"}
    assert bits(model) == bits(fresh(1))
