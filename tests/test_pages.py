"""What the pages are made of: evidence against independent figures, hostile text, unfinished runs, the live server."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from torch import nn

import gradus as gd
from gradus.errors import UserError
from gradus.reports import charts, page, words
from gradus.reports.compare import best, compared, read_runs
from gradus.reports.live import LivePage
from gradus.reports.record import MetricsFile, read_record
from gradus.training import RunDirectory, evidence, read_directory

Gradus = Callable[..., tuple[int, str, str]]
SOURCES = Path(page.__file__).parent


def evidence_of(run: gd.Run) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    tensors, values = read_directory(run.path / "evidence")
    return values["evidence"], tensors["arrays"]


def report_of(run: gd.Run, lang: str = "en") -> str:
    page.write_report(run.directory, Path("report.html"), lang)
    return Path("report.html").read_text(encoding="utf-8")


def test_every_sentence_is_there_in_both_languages_with_the_same_places() -> None:
    for key, (english, chinese) in words.TABLE.items():
        assert english.strip(), key
        assert chinese.strip(), key
        places = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)]
        assert places[0] == places[1], key
    assert not any(re.search("[\u4e00-\u9fff]", english) for english, _ in words.TABLE.values())


def test_every_sentence_is_used_and_every_one_used_is_there() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in SOURCES.glob("*.py") if file.name != "words.py")
    used = set(re.findall(r'words\(\s*"([^"]+)"', source)) | set(re.findall(r"words\('([^']+)'", source))
    quoted = set(re.findall(r'"([^"\n]+)"', source))
    by_name = {
        key for key in words.TABLE if key.startswith(("time_", "kind_")) or words.TABLE[key][0] == key
    }  # terms of a run
    assert used <= set(words.TABLE)
    assert set(words.TABLE) <= used | quoted | by_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "ZH"}, "zh"),
        ({}, "en"),
    ],
)
def test_the_language_is_the_locale_s(given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert words.language() == expected


def test_evidence_of_classes_is_what_scikit_learn_and_the_pictures_say() -> None:
    data = gd.data.digits()
    run = gd.train(gd.models.Linear(64, 10), data, epochs=2, quiet=True)
    found, arrays = evidence_of(run)
    scans, rows = load_digits(), data.splits["test"]
    answers = run.predict(scans.images[rows][:, None])
    said = [int(a["label"]) for a in answers]
    assert np.array_equal(arrays["confusion"].numpy(), confusion_matrix(scans.target[rows], said, labels=range(10)))
    chances = np.array([a["probabilities"][str(t)] for a, t in zip(answers, scans.target[rows], strict=True)])
    mistakes = found["mistakes"]
    assert len(mistakes) == 24
    assert [m["probability"] for m in mistakes] == pytest.approx(np.sort(chances)[:24].tolist(), abs=1e-6)
    for mistake, picture in zip(mistakes, arrays["mistakes"].numpy(), strict=True):
        place = int(np.flatnonzero(rows == mistake["row"])[0])
        assert mistake["true"] == str(scans.target[mistake["row"]])
        assert mistake["predicted"] == str(said[place])
        assert mistake["wrong"] == (mistake["true"] != mistake["predicted"])
        assert np.abs(picture[0] - scans.images[mistake["row"]] * 255 / 16).max() <= 1
    assert found["split"] == "test"
    assert [row["parameters"] for row in found["layers"]] == [650]


def test_samples_are_the_first_batch_as_the_model_reads_it() -> None:
    data = gd.data.digits(augment=[gd.data.Shift(2)])
    run = gd.train(gd.models.CNN((1, 8, 8), 10, width=2), data, steps=1, seed=3, layout="channels_last", quiet=True)
    found, arrays = evidence_of(run)
    ids = gd.data.Order(data.splits["train"], 64, seed=3).indices(0)[:16]
    assert [s["row"] for s in found["samples"]] == ids.tolist()
    column = data.encoder.columns[0]  # type: ignore[attr-defined]
    seen = data.batch(ids, gd.data.Draw(3, 0)).inputs * column.std + column.mean
    assert torch.equal(arrays["samples"], (seen * 255).round().clamp(0, 255).to(torch.uint8))


def test_evidence_of_numbers_is_in_the_target_s_units() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3))
    y = 1000 + 50 * x[:, 0] + 5 * random.normal(size=300)
    data = gd.data.arrays(x, y, normalise=True)
    run = gd.train(gd.models.Linear(3, 1), data, epochs=3, lr=0.05, quiet=True)
    found, arrays = evidence_of(run)
    rows = data.splits["test"]
    said = np.array([p["value"] for p in run.predict(x[rows])])
    assert arrays["true"].numpy() == pytest.approx(y[rows], rel=1e-6)
    assert arrays["predicted"].numpy() == pytest.approx(said, rel=1e-5)
    order = np.argsort(-np.abs(said - y[rows]))[:24]
    assert [m["row"] for m in found["mistakes"]] == rows[order].tolist()
    assert found["mistakes"][0]["values"]["x"].split()[0] == f"{x[rows[order[0]], 0]:.4g}"  # as it was given


class Own(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A dataset of a person's own: samples of any shape."""

    def __init__(self, *shape: int, classes: int = 3) -> None:
        self.x, self.y = torch.randn(40, *shape), torch.arange(40) % classes

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.x[i], int(self.y[i])


@pytest.mark.parametrize(
    ("data", "pictures"),
    [
        (lambda: Own(3, 9, 7), (3, 9, 7)),
        (lambda: Own(1, 200, 100), (1, 128, 64)),
        (lambda: Own(5, 4, 4), None),
        (lambda: Own(20), None),
        (lambda: Own(2, 3, 4, 5), None),
        (lambda: Own(6, classes=2), None),
        (lambda: gd.data.arrays(np.random.rand(40, 5, 6, 6), np.arange(40) % 3), (1, 6, 6)),
        (lambda: gd.data.arrays(np.random.rand(40, 7, 2), np.arange(40) % 3), None),
        (lambda: gd.data.arrays(np.random.rand(40, 2), np.random.rand(40), test=0.0, valid=0.0), None),
    ],
    ids=["colour", "large", "five channels", "vector", "4-D", "two classes", "array pictures", "sequence", "no test"],
)
def test_any_data_leave_evidence_and_a_report(data: Callable[[], Any], pictures: tuple[int, ...] | None) -> None:
    dataset = gd.data.as_dataset(data())
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(dataset.num_outputs))
    model(torch.zeros(1, *dataset.input_shape))
    run = gd.train(model, dataset, steps=2, quiet=True)
    found, arrays = evidence_of(run)
    assert len(found["samples"]) == 16
    assert len(found["mistakes"]) == min(24, found["rows"])
    if pictures is None:
        assert "samples" not in arrays
        assert all(entry["values"]["x"] for entry in found["samples"] + found["mistakes"])
    else:
        assert tuple(arrays["samples"].shape[1:]) == pictures
        assert arrays["mistakes"].dtype == torch.uint8
    assert "<h2>Worst mistakes</h2>" in report_of(run)


def test_answers_that_are_no_numbers_are_told_and_not_counted() -> None:
    outputs = torch.randn(20, 3)
    outputs[4:7, 1] = float("nan")
    found, worst = evidence._classes(gd.tasks.MultiClass(3), outputs, torch.arange(20) % 3)
    assert found["undefined"] == 3
    assert int(found["confusion"].sum()) == 17
    assert set(worst[:3].tolist()) == {4, 5, 6}
    assert [m["predicted"] for m in found["mistakes"][:4]].count("nan") == 3
    assert all(m["wrong"] for m in found["mistakes"][:3])
    found, worst = evidence._numbers(gd.tasks.Regression(5.0, 2.0), outputs[:, 1:2], torch.zeros(20))
    assert found["undefined"] == 3
    assert set(worst[:3].tolist()) == {4, 5, 6}


def test_a_full_disk_at_the_evidence_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evidence, "write_directory", full)
    with pytest.raises(UserError, match="No space left on device"):
        gd.train(gd.models.Linear(64, 10), gd.data.digits(), steps=1, quiet=True, out="r")
    assert not Path("r/evidence").exists()
    assert not Path("r/summary.json").exists()


@pytest.mark.parametrize("settings", [{}, {"clip": 0.01}, {"accumulate": 3}, {"optimizer": "lbfgs"}], ids=str)
def test_the_gradient_s_norm_is_that_of_the_batch(settings: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    data = gd.data.arrays(x, x.sum(1), valid=0.0, test=0.0)
    model = gd.models.Linear(3, 1)
    twin = gd.models.Linear(3, 1)
    twin.load_state_dict(model.state_dict())
    settings = {"optimizer": "sgd", "lr": 0.1, **settings}
    run = gd.train(model, data, steps=4, batch_size=20, log_every=4, quiet=True, **settings)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    short = gd.train(twin, data, steps=3, batch_size=20, quiet=True, out="three", **settings)
    order = gd.data.Order(data.splits["train"], 20, seed=0)
    batch = data.batch(order.indices(3))
    loss = ((short.model(batch.inputs)[:, 0] - batch.targets) ** 2).mean()
    gradient = torch.autograd.grad(loss, list(short.model.parameters()))
    assert lines[0]["grad_norm"] == pytest.approx(float(torch.cat([g.flatten() for g in gradient]).norm()), rel=1e-5)


def test_logging_changes_no_bit_of_training() -> None:
    def weights(every: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        run = gd.train(gd.models.MLP(64, 8, 10), gd.data.digits(), steps=20, log_every=every, quiet=True)
        return list(run.model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(1), weights(20), strict=True))


@pytest.mark.parametrize("text", ["</script><script>x", "<!--", "\u2028", "<script", "]]>", "é"])
def test_no_text_ends_a_script(text: str) -> None:
    told = page.as_script({text: [text, float("nan")]})
    assert json.loads(told) == {text: [text, "nan"]}
    assert told.isascii()
    assert not set("<>&") & set(told)


def test_a_long_curve_keeps_its_peaks() -> None:
    pairs: list[tuple[int, float | None]] = [(i, 1.0 + i / 1e6) for i in range(50_000)]
    pairs[31_234], pairs[7] = (31_234, 99.0), (7, -5.0)
    pairs[100:300] = [(i, None) for i in range(100, 300)]
    thin = charts.thinned(pairs)
    assert len(thin) <= charts.MAX_POINTS + 2
    assert {(31_234, 99.0), (7, -5.0), pairs[0], pairs[-1]} <= set(thin)
    assert [x for x, _ in thin] == sorted(x for x, _ in thin)


def test_a_loss_that_is_no_number_is_told_with_its_step() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)) * 1e18
    settings = dict(steps=30, lr=1e9, optimizer="sgd", log_every=1, quiet=True, on_nan="ignore")
    run = gd.train(gd.models.Linear(2, 1), (x, x[:, 0]), **settings)
    broken = [json.loads(s) for s in (run.path / "metrics.jsonl").read_text().splitlines()]
    step = next(line["step"] for line in broken if isinstance(line.get("loss"), str))
    assert f"From step {step} on the loss is not a number." in report_of(run)


@pytest.fixture(name="digits")
def _digits() -> gd.Run:
    return gd.train(gd.models.Linear(64, 10), gd.data.digits(), epochs=2, log_every=5, quiet=True, out="digits")


def test_a_report_has_every_part(digits: gd.Run) -> None:
    (digits.path / "figures").mkdir(exist_ok=True)
    drawing = {"title": "A <valley>", "note": "n", "data": [{"type": "scatter", "y": [1]}], "layout": {}}
    (digits.path / "figures/valley.json").write_text(json.dumps(drawing))
    digits.note(findings=[{"verdict": "It <b>overfits</b>", "evidence": "e1", "cause": "c1", "change": "x1"}])
    text = report_of(digits)
    ids = re.findall(r'<section id="([^"]+)">', text)
    assert ids == [
        "masthead", "result", "verdict", "curves", "figure-valley", "confusion", "worst", "samples", "steps", "layers",
        "time", "settings",
    ]  # fmt: skip
    assert "A &lt;valley&gt;" in text
    assert "It &lt;b&gt;overfits&lt;/b&gt;" in text
    assert all(word in text for word in ("e1", "c1", "x1", "log_every"))
    assert f"{digits.metrics['test']['accuracy']:.4f}" in text
    assert report_of(digits) == text  # nothing of a page is drawn by lot
    assert "学习曲线" in report_of(digits, "zh")


def test_a_run_without_a_finding_or_an_end_gets_a_report(digits: gd.Run, gradus: Gradus) -> None:
    assert "No findings." in report_of(digits)
    shutil.copytree("digits", "cut")
    for name in ("summary.json", "evidence", "predictor"):
        path = Path("cut") / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lines = Path("cut/metrics.jsonl").read_text()
    Path("cut/metrics.jsonl").write_text(lines[: len(lines) // 2])  # in the middle of a line
    status, out, _ = gradus("report", "cut")
    assert (status, out) == (0, "cut/report.html\n")
    text = Path("cut/report.html").read_text()
    assert "gradus resume cut" in text
    assert 'id="result"' not in text
    Path("cut/metrics.jsonl").unlink()
    assert gradus("report", "cut", "--out", "none.html")[0] == 0
    assert "Nothing has been logged yet." in Path("none.html").read_text()


def test_bad_inputs_are_one_line(digits: gd.Run, gradus: Gradus) -> None:
    for arguments, expected in [
        (("report", "nowhere"), "no such run"),
        (("report", "digits", "--out", "."), "is a directory"),
        (("report", "digits", "--out", "absent/x.html"), "can't be written"),
        (("compare", "digits"), "at least two runs"),
        (("compare", "digits", "digits"), "at least two runs"),
        (("compare", "digits", "nowhere"), "no such run"),
    ]:
        status, _, err = gradus(*arguments)
        assert status == 2
        assert expected in err
        assert err.count("\n") == 1
    damaged = Path("digits/metrics.jsonl")
    damaged.write_text("{}}\n" + damaged.read_text())
    assert "line 1: damaged" in gradus("report", "digits")[2]
    assert not Path("digits/report.html").exists()


def test_a_report_neither_imports_plotly_nor_needs_the_data(digits: gd.Run) -> None:
    code = (
        "import sys; from gradus.cli import main; assert main(['report', 'digits']) == 0; "
        "assert not {'plotly', 'sklearn', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_comparison_tells_what_differs_and_who_is_best(digits: gd.Run, gradus: Gradus) -> None:
    gd.train(gd.models.Linear(64, 10), gd.data.digits(), epochs=2, lr=1e-5, quiet=True, out="slow")
    gd.train(gd.models.Linear(64, 10), gd.data.digits(seed=1), epochs=2, quiet=True, out="other")
    found = json.loads(gradus("compare", "digits", "slow", "--json")[1])
    assert found["differences"] == {"lr": {"digits": None, "slow": 1e-5}}
    assert found["same_data"]
    assert found["best"]["test"]["loss"] == ["digits"]
    assert found["metrics"]["test"]["loss"]["slow"] == pytest.approx(gd.Run("slow").metrics["test"]["loss"])
    status, out, _ = gradus("compare", "digits", "slow", "other", "--out", "c.html", "--lang", "zh")
    assert status == 0
    assert "lr" in out
    assert " *" in out
    assert "3 次运行的比较" in Path("c.html").read_text()
    Path("other/summary.json").unlink()
    assert compared(read_runs(["other", "digits"]))["runs"]["other"]["state"] == "unfinished"


def test_the_best_of_a_metric_is_by_its_direction() -> None:
    values = {"a": 0.1, "b": 0.3, "c": "nan", "d": 0.3}
    assert best("accuracy", values) == ["b", "d"]
    assert best("rmse", values) == ["a"]
    assert best("rmse", {"a": 1.0, "b": 1.0}) == []
    assert best("rmse", {"a": 1.0}) == []


def test_watching_is_not_part_of_a_run(gradus: Gradus) -> None:
    status, out, _ = gradus("train", "line", "--steps", 5, "--watch", "--out", "r")
    assert status == 0
    assert re.search(r"watch +http://127\.0\.0\.1:\d+/", out)
    assert "watch" not in Path("r/config.json").read_text()
    assert gradus("train", "line", "--steps", 5, "--out", "q")[0] == 0
    assert (Path("r/predictor/model.safetensors")).read_bytes() == (Path("q/predictor/model.safetensors")).read_bytes()
    assert not compared(read_runs(["r", "q"]))["differences"]


def test_metrics_are_read_on_and_begun_anew_where_they_were_cut(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(file)
    assert metrics.read() == ([], [])
    file.write_text('{"step": 1, "loss": 1}\n{"step": 2, "lo')
    assert [line["step"] for line in metrics.read()[0]] == [1]
    with file.open("a") as opened:
        opened.write('ss": 2}\n{"step": 2, "valid": {}}\n')
    assert [line["step"] for line in metrics.read()[0]] == [1, 2]
    assert len(metrics.read()[1]) == 1
    file.write_text('{"step": 1, "loss": 1}\n')
    assert [len(lines) for lines in metrics.read()] == [1, 0]


@pytest.fixture(name="live")
def _live(digits: gd.Run) -> Iterator[LivePage]:
    shutil.copytree("digits", "going")
    Path("going/summary.json").unlink()
    served = LivePage(RunDirectory.open("going"), "en")
    yield served
    if not served.closed:
        served.close()


def ask(live: LivePage, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", live.server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = (answer.status, answer.read() if path != "/events" else answer.readline())
    connection.close()
    return content


def test_the_live_server_answers_its_own_page_and_nobody_else(live: LivePage) -> None:
    assert live.server.server_address[0] == "127.0.0.1"
    port = live.server.server_port
    status, content = ask(live, "GET", "/")
    assert status == 200
    assert b"connect-src 'self'" in content
    assert ask(live, "GET", "/", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}"):
        assert ask(live, "GET", "/", Host=host)[0] == 421
        assert ask(live, "GET", "/events", Host=host)[0] == 421
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert ask(live, method, "/")[0] in (405, 501)
    for path in ("/../going/config.json", "/config.json", "//etc/passwd", "/%2e%2e/config.json", "/?x", "/events/.."):
        assert ask(live, "GET", path)[0] == 404


def test_a_live_page_is_told_what_is_new_and_the_end(live: LivePage) -> None:
    first = json.loads(live.event())
    assert not first["ended"]
    assert live.event() is live.event()  # nothing new, nothing made
    assert [part["id"] for part in first["sections"]] == ["masthead", "curves", "steps", "settings"]
    status, line = ask(live, "GET", "/events")
    assert (status, json.loads(line.removeprefix(b"data: "))) == (200, first)
    with Path("going/metrics.jsonl").open("a") as file:
        file.write('{"step": 999, "epoch": 9, "loss": 0.5, "lr": 1, "seconds": 1}\n')
    news = json.loads(live.event())["sections"]
    assert news[1]["html"] == first["sections"][1]["html"]  # only the chart has changed: nothing flickers
    assert news[1]["charts"]["loss"]["data"][0]["x"][-1] == 999
    shutil.copy("digits/summary.json", "going/summary.json")
    live.finish()
    last = json.loads(live.event())
    assert last["ended"]
    assert "result" in [part["id"] for part in last["sections"]]


def test_a_fault_of_the_live_page_stays_there(live: LivePage, capfd: pytest.CaptureFixture[str]) -> None:
    Path("going/config.json").write_text("{")
    assert ask(live, "GET", "/events")[1] == b""
    live.close()
    assert capfd.readouterr().err == ""


def test_damaged_evidence_is_told(digits: gd.Run) -> None:
    file = digits.path / "evidence/evidence.json"
    file.write_text(file.read_text()[:-5])
    with pytest.raises(UserError, match="missing or damaged"):
        read_record(digits.directory)
