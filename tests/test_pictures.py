"""Pictures on disk: folders, archives, annotations; every fault named; the same bits whoever decodes them."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gradus as gd
from gradus.data.decode import Frame
from gradus.data.picture_files import find_pictures

Gradus = Callable[..., tuple[int, str, str]]


def paint(
    path: Path, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (24, 16), seed: int = 0
) -> Path:
    """A noisy picture of about one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-25, 25, (size[1], size[0], 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def folder() -> Path:
    """Sixty pictures, thirty mostly red and thirty mostly blue, in a folder each."""
    for i in range(30):
        paint(Path("pics/red") / f"{i}.png", (200, 40, 40), seed=i)
        paint(Path("pics/blue") / f"{i}.jpg", (40, 40, 200), seed=i + 50)
    return Path("pics")


def pack(folder: Path, name: str = "pics.zip") -> Path:
    with zipfile.ZipFile(name, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.as_posix())
    return Path(name)


def test_a_folder_per_class(folder: Path) -> None:
    data = gd.data.pictures(folder, size=16)
    assert data.labels == ("blue", "red")
    assert data.input_shape == (3, 16, 16)
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 42, "valid": 6, "test": 12}
    batch = data.batch(torch.arange(60))
    warm = batch.inputs[:, 0].mean(dim=(1, 2)) > batch.inputs[:, 2].mean(dim=(1, 2))
    assert torch.equal(warm, batch.targets == 1)
    train = data.batch(torch.from_numpy(data.splits["train"])).inputs
    assert train.mean().abs() < 1e-5
    assert train.std() == pytest.approx(1, abs=1e-3)


def test_the_archive_and_the_folder_hold_the_same(folder: Path) -> None:
    loose, packed = gd.data.pictures(folder, size=16), gd.data.pictures(pack(folder), size=16)
    assert np.array_equal(loose.raw["picture"], packed.raw["picture"])
    assert loose.labels == packed.labels
    assert np.array_equal(loose.raw_targets, packed.raw_targets)


def test_splits_of_the_folders_are_kept(folder: Path) -> None:
    for split, names in (("train", range(20)), ("val", range(20, 24)), ("test", range(24, 30))):
        for label in ("red", "blue"):
            for i in names:
                file = next((folder / label).glob(f"{i}.*"))
                (Path("cut") / split / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, Path("cut") / split / label)
    data = gd.data.pictures("cut", size=8)
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 40, "valid": 8, "test": 12}


def test_annotations_tell_class_and_split(folder: Path) -> None:
    rows = ["image,label,split"]
    rows += [f"{colour}/{i}{end},{'warm' if colour == 'red' else 'cold'},{'test' if i % 5 == 0 else 'train'}"
             for colour, end in (("red", ".png"), ("blue", ".jpg")) for i in range(25)]  # fmt: skip
    Path("labels.csv").write_text("\n".join(rows))
    data = gd.data.pictures(folder, annotations="labels.csv", size=8, valid=0.0)
    assert data.labels == ("cold", "warm")
    assert len(data) == 50
    assert len(data.splits["test"]) == 10
    assert "10 pictures that labels.csv doesn't name were left alone" in data.notes


def test_the_flowers_annotations_agree_with_their_folders(real: Callable[[str], Path]) -> None:
    path = real("flowers")
    by_table, by_folder = find_pictures(path), find_pictures(path / "flowers.zip")
    assert [f.path for f in by_table.files] == [f.path for f in by_folder.files]
    assert [f.label for f in by_table.files] == [f.label for f in by_folder.files]
    assert len(by_table.files) == 4307
    assert sum(f.split == "test" for f in by_table.files) == 885


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 120, (120, 120, 120)),
        ("1", 1, (255, 255, 255)),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),  # what is transparent is shown on white
        ("LA", (90, 255), (90, 90, 90)),
        ("P", 0, (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("I;16", 65535 // 2, (127, 127, 127)),
        ("I;16", 65535, (255, 255, 255)),
        ("F", 128.0, (128, 128, 128)),
    ],
    ids=str,
)
def test_every_mode_of_colour(mode: str, value: object, expected: tuple[int, ...]) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((6, 6), value, np.uint16))
    elif mode == "F":
        picture = Image.fromarray(np.full((6, 6), value, np.float32))
    else:
        picture = Image.new(mode, (6, 6), value)  # type: ignore[arg-type]
    if mode == "P":
        picture.putpalette([255, 0, 0] + [0] * 765)
    picture.save("p.tif" if mode in ("CMYK", "F") else "p.png")
    content = Path("p.tif" if mode in ("CMYK", "F") else "p.png").read_bytes()
    assert Frame(4, 4, 3).decode(content) == pytest.approx(np.broadcast_to(expected, (4, 4, 3)), abs=1)
    grey = 0.299 * expected[0] + 0.587 * expected[1] + 0.114 * expected[2]
    assert Frame(4, 4, 1).decode(content) == pytest.approx(grey, abs=1)


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8] = 250  # light above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned by 90° clockwise
    Image.fromarray(np.rot90(upright, 1).copy()).save("p.jpg", exif=exif, quality=95)
    seen = Frame(16, 32, 3, "stretch").decode(Path("p.jpg").read_bytes())
    assert seen[:7].mean() > 220
    assert seen[9:].mean() < 30


def test_framing_crops_pads_or_stretches() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200  # a square in the middle
    Image.fromarray(wide).save("p.png")
    content = Path("p.png").read_bytes()
    assert Frame(10, 10, 3, "crop").decode(content).min() == 200
    padded = Frame(30, 30, 3, "pad").decode(content)
    assert padded[:10].max() == 0
    assert np.array_equal(padded[10:20], wide)
    assert Frame(10, 10, 3, "stretch").decode(content)[:, 0].max() == 0


def test_a_large_jpeg_decoded_at_reduced_size_is_the_same_picture() -> None:
    fine = np.add.outer(np.arange(960), np.arange(640)) % 256
    Image.fromarray(np.stack([fine, fine, fine], -1).astype(np.uint8)).resize((640, 960)).save("p.jpg", quality=95)
    whole = Image.open("p.jpg").convert("RGB").resize((40, 60), Image.Resampling.BOX)
    seen = Frame(60, 40, 3).decode(Path("p.jpg").read_bytes()).astype(int)
    assert np.abs(seen - np.asarray(whole).astype(int)).mean() < 4


def test_workers_do_not_change_a_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradus.data.decode.FEW", 0)
    seen = []
    for place, workers in enumerate((0, 1, 3)):
        monkeypatch.setenv("GRADUS_CACHE", str(Path(f"cache{place}").resolve()))
        augment = [gd.data.Flip(), gd.data.Rotate(20, 0.2), gd.data.Colour(), gd.data.Erase(), gd.data.Mixup(0.4)]
        data = gd.data.pictures(pack(folder), size=16, workers=workers, augment=augment)
        batch = data.batch(torch.from_numpy(data.splits["train"]), gd.data.Draw(7, 3))
        seen.append((data.fingerprint, bytes(data.raw["picture"].tobytes()), batch.inputs, batch.targets))
    for other in seen[1:]:
        assert other[:2] == seen[0][:2]
        assert torch.equal(other[2], seen[0][2])
        assert torch.equal(other[3], seen[0][3])


def test_the_second_start_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADUS_CACHE", str(Path("cache").resolve()))
    first = gd.data.pictures(folder, size=16)
    monkeypatch.setattr(Frame, "decode", lambda *_: pytest.fail("decoded again"))
    again = gd.data.pictures(folder, size=16)
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.raw["picture"], first.raw["picture"])


def test_a_picture_changed_or_added_is_decoded_again_in_place_of_the_old_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADUS_CACHE", str(Path("cache").resolve()))
    first = gd.data.pictures(folder, size=16)
    paint(folder / "red" / "new.png", (220, 20, 20))
    second = gd.data.pictures(folder, size=16)
    assert (len(first), len(second)) == (60, 61)
    assert first.fingerprint != second.fingerprint
    assert len(list(Path("cache/pictures").iterdir())) == 1
    assert first.batch(torch.tensor([0])).inputs.shape == (1, 3, 16, 16)  # still readable by who had it open


def test_a_moved_folder_is_the_same_data(folder: Path) -> None:
    before = gd.data.pictures(folder, size=16).fingerprint
    shutil.copytree(folder, "elsewhere")
    for file in Path("elsewhere").rglob("*.*"):
        os.utime(file, (1, 1))
    assert gd.data.pictures("elsewhere", size=16).fingerprint == before


def test_bytes_and_floats_give_the_same_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floats = gd.data.pictures(folder, size=16, augment=[gd.data.Flip()])
    monkeypatch.setattr("gradus.data.dataset.KEEP_BYTES", 0)
    kept = gd.data.pictures(folder, size=16, augment=[gd.data.Flip()])
    assert floats.inputs.dtype == torch.float32
    assert kept.inputs.dtype == torch.uint8
    rows = torch.tensor([5, 1, 50])
    for last in (False, True):
        one, two = (
            d.to(torch.device("cpu"), channels_last=last).batch(rows, gd.data.Draw(0, 1)) for d in (floats, kept)
        )
        assert torch.equal(one.inputs, two.inputs)
        assert one.inputs.stride() == two.inputs.stride()
        assert two.inputs.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def test_mixup_blends_inputs_and_targets_alike() -> None:
    x = np.zeros((40, 1, 4, 4), np.float32)
    x[20:] = 1.0
    y = np.repeat([0, 1], 20)
    for classes in (2, 3):
        mixed = gd.data.arrays(
            x, y, labels=[str(c) for c in range(classes)], augment=[gd.data.Mixup(1.0)], valid=0.0, test=0.0
        )
        batch = mixed.batch(torch.arange(40), gd.data.Draw(0, 0))
        column = mixed.encoder.columns[0]
        share = batch.inputs[:, 0, 0, 0] * column.std + column.mean  # type: ignore[attr-defined]
        target = batch.targets if classes == 2 else batch.targets[:, 1]
        assert target == pytest.approx(share, abs=1e-5)
        assert 0.1 < float(((share > 0.05) & (share < 0.95)).float().mean()) < 0.9
        alone = mixed.batch(torch.tensor([7]), gd.data.Draw(0, 0))
        assert torch.equal(alone.inputs[0], batch.inputs[7])  # whatever else is in the batch


def test_mixup_shares_follow_the_beta_distribution() -> None:
    from scipy.stats import beta, kstest

    share = gd.data.Mixup(0.4).share(torch.arange(5000), 99).numpy()
    assert kstest(share, beta(0.4, 0.4).cdf).pvalue > 0.01


def damaged(folder: Path, kind: str) -> Path:
    """Put one bad file into the folder of red pictures, and give its path."""
    bad = folder / "red" / "bad.jpg"
    good = paint(Path("good.jpg"), size=(64, 64)).read_bytes()
    content = {
        "cut short": good[: len(good) // 2],
        "empty": b"",
        "text": b"this is no picture at all",
        "html": b"<html><body>404 Not Found</body></html>",
        "header only": good[:30],
        "garbage after the header": good[:200] + random.Random(0).randbytes(3000),
        "zeros": bytes(5000),
        "png cut short": (folder / "red" / "0.png").read_bytes()[:-30],
        "a bomb of pixels": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b""),
        "no pixels": b"P6\n0 0\n255\n",
    }[kind]
    bad.write_bytes(content)
    return bad


def chunk(kind: bytes, content: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


DAMAGES = ("cut short", "empty", "text", "html", "header only", "garbage after the header", "zeros", "png cut short",
           "a bomb of pixels", "no pixels")  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_picture_that_cannot_be_read_is_named_and_left_out_or_stops_the_run(
    kind: str, folder: Path, gradus: Gradus
) -> None:
    bad = damaged(folder, kind)
    arguments = ("train", "photos", "--data", folder, "--size", 16, "--width", 4, "--epochs", 1)
    status, out, err = gradus(*arguments, "--strict")
    assert (status, err.count("\n"), out) == (2, 1, "")
    assert "red/bad.jpg" in err
    assert "--strict" in err
    status, out, err = gradus(*arguments)
    assert status == 0, err
    assert "1 pictures can't be read and were left out [--strict]: red/bad.jpg" in out
    assert "60 samples" in out
    bad.unlink()
    assert gradus(*arguments, "--strict")[0] == 0


def hostile(kind: str) -> None:
    """Make an archive ``pics.zip`` that nobody should trust, or break it."""
    pack(Path("pics"))
    if kind == "not a zip":
        Path("pics.zip").write_bytes(b"PK\x03\x04 and then nothing of the kind" * 20)
    elif kind == "cut short":
        Path("pics.zip").write_bytes(Path("pics.zip").read_bytes()[:2000])
    else:
        with zipfile.ZipFile("pics.zip", "a") as archive:
            if kind == "link":
                entry = zipfile.ZipInfo("pics/red/link.png")
                entry.external_attr = 0o120777 << 16
                archive.writestr(entry, "/etc/passwd")
            elif kind == "out by dots":
                archive.writestr("pics/../../evil.png", b"x")
            elif kind == "out by root":
                archive.writestr("/etc/evil.png", b"x")
            elif kind == "out by backslashes":
                archive.writestr("pics\\..\\..\\evil.png", b"x")
            elif kind == "out by drive":
                archive.writestr("C:/evil.png", b"x")


BAD_SOURCES: dict[str, tuple[list[str], list[str]]] = {
    "nothing given": ([], ["photos: no pictures were given", "--data FOLDER"]),
    "nothing there": (["--data", "nowhere"], ["nowhere", "no such directory"]),
    "no pictures": (["--data", "texts"], ["texts", "no pictures", "2 other files"]),
    "no folders": (["--data", "pics/red"], ["pics/red", "30 pictures", "folder of its own", "--annotations"]),
    "one class": (["--data", "one"], ["one class only ('red')"]),
    "a table as data": (["--data", "one.csv"], ["one.csv", "a table", "--annotations"]),
    "missing table": (["--data", "pics", "--annotations", "no.csv"], ["no.csv", "no such file"]),
    "table of one column": (["--data", "pics", "--annotations", "one.csv"], ["one.csv", "one column"]),
    "unknown split": (["--data", "pics", "--annotations", "split.csv"], ["split.csv, row 3", "'tset'", "'test'"]),
    "named twice": (["--data", "pics", "--annotations", "twice.csv"], ["twice.csv, row 4", "red/0.png", "row 2"]),
    "empty label": (["--data", "pics", "--annotations", "empty.csv"], ["empty.csv, row 3", "label is empty"]),
    "several of one name": (["--data", "pics", "--annotations", "name.csv"], ["name.csv, row 2", "several", "0"]),
    "none of them there": (["--data", "pics", "--annotations", "none.csv"], ["none.csv, row 2", "no such picture"]),
    "one missing": (["--data", "pics", "--annotations", "some.csv", "--strict"], ["some.csv, row 4", "gone.png"]),
    "no size": (["--data", "pics", "--size", "0"], ["size", "0"]),
    **{kind: (["--data", "pics.zip"], ["pics.zip", *words]) for kind, words in {
        "not a zip": ["not a zip archive"],
        "cut short": ["not a zip archive"],
        "link": ["pics/red/link.png", "a link"],
        "out by dots": ["points out of the archive"],
        "out by root": ["points out of the archive"],
        "out by backslashes": ["points out of the archive"],
        "out by drive": ["points out of the archive"],
    }.items()},
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_SOURCES)
def test_bad_sources(kind: str, folder: Path, gradus: Gradus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADUS_DATA", "nowhere")
    Path("texts").mkdir()
    for name in ("a.txt", "b.json"):
        Path("texts", name).write_text("{}")
    shutil.copytree("pics/red", "one/red")
    tables = {
        "one": "path\nred/0.png", "split": "path,label,split\nred/0.png,a,train\nblue/0.jpg,b,tset",
        "twice": "path,label\nred/0.png,a\nblue/0.jpg,b\nred/0.png,b", "empty": "path,label\nred/0.png,a\nblue/0.jpg,",
        "name": "path,label\n0,a\n1,b", "none": "path,label\nx.png,a\ny.png,b",
        "some": "path,label\nred/0.png,a\nblue/0.jpg,b\nred/gone.png,a",
    }  # fmt: skip
    for name, text in tables.items():
        Path(f"{name}.csv").write_text(text)
    hostile(kind)
    arguments, words = BAD_SOURCES[kind]
    status, out, err = gradus("train", "photos", *arguments, "--epochs", 1)
    assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
    for word in words:
        assert word in err
    assert not Path("runs").exists()


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(folder: Path) -> None:
    code = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from gradus.cli import main; raise SystemExit(main(['train', 'photos', '--data', 'pics', '--epochs', '1']))"
    )
    environment = {**os.environ, "GRADUS_CACHE": str(Path("cache").resolve())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert "can't be kept there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(Path("cache/pictures").iterdir())


def test_killed_while_decoding_the_next_start_is_clean(real: Callable[[str], Path]) -> None:
    path = real("flowers")
    cache = Path("cache").resolve()
    code = f"import gradus as gd; gd.data.pictures({str(path)!r}, size=48, workers=2)"
    environment = {**os.environ, "GRADUS_CACHE": str(cache)}
    begun = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    while not list(cache.glob("pictures/*/pixels")):
        assert begun.poll() is None
    os.killpg(begun.pid, 9)
    begun.wait()
    assert not list(cache.glob("pictures/*/index.json"))
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert [sorted(p.name for p in place.iterdir()) for place in cache.glob("pictures/*")] == [["index.json", "pixels"]]


def test_a_photo_is_predicted_as_it_was_trained(folder: Path, gradus: Gradus) -> None:
    flags = "--size 16 --width 8 --colour 0 --out r"
    assert gradus("train", "photos", "--data", folder, *flags.split())[0] == 0
    paint(Path("mine.png"), (230, 20, 20), size=(70, 40), seed=99)
    paint(Path("sea.jpg"), (20, 20, 230), size=(40, 70), seed=98)
    answers = json.loads(gradus("predict", "r", "mine.png", "sea.jpg", "--json")[1])
    assert [a["label"] for a in answers] == ["red", "blue"]
    tested = json.loads(gradus("test", "r", "--json")[1])
    assert tested == pytest.approx(json.loads(Path("r/summary.json").read_text())["metrics"]["test"], abs=1e-6)
