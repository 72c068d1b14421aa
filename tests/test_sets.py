"""Data sets known by name: where they are looked for, what is downloaded, and their files read as others read them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

import gradus as gd
from gradus.data.catalogue import CATALOGUE, Known
from gradus.data.download import Remote
from gradus.errors import UserError

RNG = np.random.default_rng(5)
STEMS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
BATCHES = (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(directory: Path, train: int = 40, test: int = 20) -> dict[str, np.ndarray]:
    """MNIST's four files, small, gzipped and of random content."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for stem in STEMS:
        rows = train if stem.startswith("train") else test
        images = "images" in stem
        arrays[stem] = RNG.integers(0, 256, (rows, 28, 28)) if images else np.arange(rows) % 10
        arrays[stem] = arrays[stem].astype(np.uint8)
        (directory / f"{stem}-ubyte.gz").write_bytes(gzip.compress(idx(arrays[stem])))
    return arrays


def cifar_batches(records: int = 20) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: (RNG.integers(0, 256, (records, 3, 32, 32)).astype(np.uint8), (np.arange(records) % 10).astype(np.uint8))
        for name in BATCHES
    }


def cifar_file(pictures: np.ndarray, classes: np.ndarray) -> bytes:
    return b"".join(bytes([c]) + p.tobytes() for p, c in zip(pictures, classes, strict=True))


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Put files of ``tmp_path/public/NAME`` on the web as a data set of that name; gives the list of what is asked."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "public"))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.delenv("GRADUS_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADUS_DATA", str(tmp_path / "own"))

    def publish(name: str) -> list[str]:
        files = []
        for file in sorted((tmp_path / "public" / name).iterdir()):
            content = file.read_bytes()
            url = f"http://127.0.0.1:{server.server_address[1]}/{name}/{file.name}"
            files.append(Remote(file.name, len(content), hashlib.sha256(content).hexdigest(), (url,)))
        monkeypatch.setitem(CATALOGUE, name, Known(tuple(files), "a test", "free"))
        return asked

    yield publish
    server.shutdown()
    server.server_close()


def test_mnist_is_downloaded_once_and_then_found(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    arrays = idx_files(tmp_path / "public/mnist")
    asked = public("mnist")
    data = gd.data.mnist()
    assert sorted(asked) == sorted(f"/mnist/{stem}-ubyte.gz" for stem in STEMS)
    test = data.batch(torch.as_tensor(data.splits["test"]))
    np.testing.assert_array_equal(test.targets.numpy(), arrays["t10k-labels-idx1"])
    assert sorted(os.listdir(tmp_path / "cache/data/mnist")) == sorted(f"{stem}-ubyte.gz" for stem in STEMS)
    asked.clear()
    gd.data.mnist()
    assert asked == []


def test_a_set_of_which_half_has_come_is_completed(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    idx_files(tmp_path / "public/mnist")
    asked = public("mnist")
    gd.data.mnist()
    asked.clear()
    kept = tmp_path / "cache/data/mnist"
    (kept / "t10k-labels-idx1-ubyte.gz").rename(kept / "t10k-labels-idx1-ubyte.gz.part")
    gd.data.mnist()
    assert asked == []  # the part was whole: it was verified and given its name
    (kept / "train-labels-idx1-ubyte.gz").unlink()
    gd.data.mnist()
    assert asked == ["/mnist/train-labels-idx1-ubyte.gz"]


def test_the_order_in_which_places_are_looked_at(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    places = [tmp_path / "given", tmp_path / "own/mnist", Path("data/mnist"), tmp_path / "cache/data/mnist"]
    for place in places:
        idx_files(place)
    idx_files(tmp_path / "public/mnist")
    asked = public("mnist")
    assert gd.data.find("mnist", places[0], "train-images") == places[0]
    for place in places[1:]:
        assert gd.data.find("mnist", None, "train-images") == place
        (place / "train-images-idx3-ubyte.gz").unlink()
    assert asked == []
    assert gd.data.find("mnist", None, "train-images") == places[-1]
    assert asked == ["/mnist/train-images-idx3-ubyte.gz"]


def test_a_path_that_is_given_never_leads_to_a_download(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    idx_files(tmp_path / "public/mnist")
    asked = public("mnist")
    (tmp_path / "empty").mkdir()
    for path, words in (("empty", "not found in"), ("nowhere", "no such directory")):
        with pytest.raises(UserError, match=words):
            gd.data.mnist(tmp_path / path)
    assert asked == []
    assert not (tmp_path / "cache/data").exists()


def test_an_unknown_set_names_every_place(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        gd.data.find("stamps", None, "stamps.csv")
    for word in ("stamps.csv", str(tmp_path / "own/stamps"), "data/stamps", str(tmp_path / "cache/data/stamps")):
        assert word in str(told.value)


def test_one_file_gzipped_or_not(tmp_path: Path) -> None:
    Path("plain").mkdir()
    Path("plain/covid.train.csv").write_text("x\n1\n")
    Path("packed").mkdir()
    Path("packed/covid.train.csv.gz").write_bytes(gzip.compress(b"x\n1\n"))
    for file in ("covid.train.csv", "covid.train.csv.gz"):
        assert gd.data.find_file("covid_hw1", file, "plain") == Path("plain/covid.train.csv")
        assert gd.data.find_file("covid_hw1", file, "packed") == Path("packed/covid.train.csv.gz")
    assert gd.data.find_file("covid_hw1", "covid.train.csv", "other.csv") == Path("other.csv")


def test_offline_a_recipe_says_what_to_put_where(
    gradus: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRADUS_DATA")
    status, out, err = gradus("train", "mnist")
    assert (status, out, err.count("\n")) == (2, "", 1)
    urls = [file.urls[0] for file in CATALOGUE["mnist"].files]
    for word in ("gradus: mnist", "GRADUS_OFFLINE", *urls, str(tmp_path / "cache/data/mnist"), "--data", "GRADUS_DATA"):
        assert word in err, err
    assert list(tmp_path.iterdir()) == []


def test_fashion_is_read_as_mnist_is(tmp_path: Path) -> None:
    arrays = idx_files(tmp_path / "fashion", train=60)
    data = gd.data.fashion(tmp_path / "fashion", valid=0.25, seed=3)
    assert data.name == "fashion"
    assert data.labels[:2] == ("T-shirt/top", "Trouser")
    assert data.labels[9] == "Ankle boot"
    assert [len(data.splits[split]) for split in ("train", "valid", "test")] == [45, 15, 20]
    batch = data.batch(torch.as_tensor(data.splits["test"]))
    whole = arrays["train-images-idx3"].reshape(60, -1)[np.sort(data.splits["train"])] / 255
    expected = (arrays["t10k-images-idx3"][:, None] / 255 - whole.mean()) / whole.std()
    np.testing.assert_allclose(batch.inputs.numpy(), expected, atol=1e-4)
    np.testing.assert_array_equal(batch.targets.numpy(), arrays["t10k-labels-idx1"])


def test_cifar10_from_the_archive_and_from_a_directory(tmp_path: Path) -> None:
    batches = cifar_batches()
    files = {name: cifar_file(*batch) for name, batch in batches.items()}
    inner = {f"cifar-10-batches-bin/{name}": content for name, content in files.items()}
    archive = tar(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/readme.html": b"read me", **inner})
    for directory in (tmp_path / "unpacked/cifar-10-batches-bin", tmp_path / "bare"):
        directory.mkdir(parents=True)
        for name, content in files.items():
            (directory / name).write_bytes(content)
    whole = np.concatenate([batches[name][0] for name in BATCHES])
    classes = np.concatenate([batches[name][1] for name in BATCHES])
    for place in (archive, tmp_path, tmp_path / "unpacked", tmp_path / "bare"):
        data = gd.data.cifar10(place, valid=0.2)
        assert data.input_shape == (3, 32, 32)
        assert (data.labels[0], data.labels[9], len(data.labels)) == ("airplane", "truck", 10)
        np.testing.assert_array_equal(data.splits["test"], np.arange(100, 120))
        rows = np.sort(data.splits["train"])
        batch = data.batch(torch.arange(120))
        np.testing.assert_array_equal(batch.targets.numpy(), classes)
        seen = batch.inputs.numpy().transpose(1, 0, 2, 3).reshape(3, -1)
        told = whole.transpose(1, 0, 2, 3).reshape(3, -1).astype(float)
        for channel in range(3):  # whatever each channel was normalised by, it is the same picture
            assert np.corrcoef(seen[channel], told[channel])[0, 1] == pytest.approx(1, abs=1e-6)
        assert abs(data.batch(torch.as_tensor(rows)).inputs.mean().item()) < 1e-3
    assert sorted(os.listdir(tmp_path)) == ["bare", "cifar-10-binary.tar.gz", "unpacked"]


def test_cifar10_is_downloaded_and_read_in_place(public: Callable[[str], list[str]], tmp_path: Path) -> None:
    (tmp_path / "public/cifar10").mkdir(parents=True)
    tar(
        tmp_path / "public/cifar10/cifar-10-binary.tar.gz",
        {f"cifar-10-batches-bin/{name}": cifar_file(*batch) for name, batch in cifar_batches().items()},
    )
    asked = public("cifar10")
    assert len(gd.data.cifar10().splits["test"]) == 20
    gd.data.cifar10()
    assert asked == ["/cifar10/cifar-10-binary.tar.gz"]
    assert os.listdir(tmp_path / "cache/data/cifar10") == ["cifar-10-binary.tar.gz"]


def bad_archive(case: str, path: Path) -> None:
    files = {f"cifar-10-batches-bin/{name}": cifar_file(*batch) for name, batch in cifar_batches().items()}
    if case == "a name that leads out":
        files = {"../../etc/cron.d/data_batch_1.bin": b"x", **files}
    elif case == "an absolute name":
        files = {"/etc/cron.d/data_batch_1.bin": b"x", **files}
    elif case == "a file is missing":
        files.pop("cifar-10-batches-bin/data_batch_3.bin")
    elif case == "half a record":
        files["cifar-10-batches-bin/data_batch_2.bin"] += b"half"
    elif case == "a class beyond":
        files["cifar-10-batches-bin/test_batch.bin"] = bytes(3073) + b"\x0a" + bytes(3072)
    elif case == "a file far too large":
        files["cifar-10-batches-bin/data_batch_4.bin"] = bytes(3073 * 10_001)
    elif case == "an empty file":
        files["cifar-10-batches-bin/data_batch_5.bin"] = b""
    tar(path, files)
    if case == "another file far too large":
        bomb = tarfile.TarInfo("cifar-10-batches-bin/readme.html")
        bomb.size = 400_000_001
        path.write_bytes(gzip.compress(bomb.tobuf() + bytes(10_000)))
    if case == "cut short":
        path.write_bytes(path.read_bytes()[:50_000])
    if case == "no archive":
        path.write_bytes(b"this is no archive")


ARCHIVES = {
    "a name that leads out": "leads out of the archive",
    "an absolute name": "leads out of the archive",
    "a file is missing": "has no data_batch_3.bin",
    "half a record": "data_batch_2.bin: 61,464 bytes",
    "a class beyond": "test_batch.bin, record 2: a class of 10",
    "a file far too large": "data_batch_4.bin' makes it far larger",
    "another file far too large": "readme.html' makes it far larger",
    "an empty file": "data_batch_5.bin: 0 bytes",
    "cut short": "cut short or damaged",
    "no archive": "cut short or damaged",
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_bad_archives(case: str, tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    bad_archive(case, path)
    with pytest.raises(UserError) as told:
        gd.data.cifar10(tmp_path)
    assert str(path) in str(told.value) or str(tmp_path) in str(told.value)
    assert ARCHIVES[case] in str(told.value)
    assert "\n" not in str(told.value)
    assert os.listdir(tmp_path) == [path.name]


def test_the_pickled_version_of_cifar10_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    with pytest.raises(UserError, match="pickled"):
        gd.data.cifar10(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        gd.data.cifar10(tmp_path / "nowhere.tar.gz")


def test_the_catalogue_is_well_formed() -> None:
    for name, known in CATALOGUE.items():
        assert known.files, name
        assert len({file.name for file in known.files}) == len(known.files)
        assert known.home.startswith("http")
        for file in known.files:
            assert re.fullmatch(r"[\w.-]+", file.name)
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.bytes > 0
            assert len(set(file.urls)) == len(file.urls) > 0
            for url in file.urls:
                assert urlsplit(url).scheme in ("http", "https")
                if "raw.githubusercontent.com" in url:
                    assert re.search(r"/[0-9a-f]{40}/", url), "pinned to a commit"


@pytest.mark.parametrize(
    ("name", "file", "where"),
    [
        *(("mnist", f"{stem}-ubyte.gz", f"mnist/{stem}-ubyte.gz") for stem in STEMS),
        ("diabetes", "diabetes.csv.gz", "diabetes/diabetes.csv.gz"),
        ("titanic", "train.csv", "titanic/train.csv"),
        ("covid_hw1", "covid.train.csv", "covid_hw1/covid.train.csv.gz"),
        ("covid_hw1", "covid.test.csv", "covid_hw1/covid.test.csv.gz"),
        ("names", "names_train.csv.gz", "names/names_train.csv.gz"),
        ("names", "names_test.csv.gz", "names/names_test.csv.gz"),
        ("ag_news", "test.csv", "ag_news/test.csv.gz"),
        ("timeseries", "airline-passengers.csv", "timeseries/airline-passengers.csv"),
        ("timeseries", "ETTh1.csv", "timeseries/ETTh1.csv.gz"),
        ("poems", "wujue.txt", "poems/wujue.txt.gz"),
        ("tinyshakespeare", "input.txt", "tinyshakespeare/input.txt"),
    ],
)
def test_the_catalogue_tells_of_the_real_files(name: str, file: str, where: str, real: Callable[[str], Path]) -> None:
    known = next(remote for remote in CATALOGUE[name].files if remote.name == file)
    content = real(where).read_bytes()
    if where.endswith(".gz") and not file.endswith(".gz"):
        content = gzip.decompress(content)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (known.bytes, known.sha256)
