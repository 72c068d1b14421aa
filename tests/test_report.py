"""The pages in a real browser: what a person sees, and that hostile data, the net and an error are never part of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gradus as gd
from gradus import recipes
from gradus.reports.compare import read_runs, write_comparison
from gradus.reports.page import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = '</script><img src="https://evil.example/x" onerror="document.title=\'owned\'"><!--\u2028"\'`${1}'
REPORTS = ("digits", "titanic", "covid", "logistic", "hostile", "unfinished", "chinese")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    flags = ["--no-sandbox", "--disable-gpu", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind of run, by name; those whose real data are absent are left out."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GRADUS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        data = Path(os.environ.get("GRADUS_DATA") or Path(__file__).parents[2] / "shared" / "data")
        runs = {"digits": recipes.call("digits", {"epochs": 4, "quiet": True, "out": "digits", "width": 8})}
        runs["logistic"] = recipes.call("logistic", {"epochs": 3, "quiet": True, "out": "logistic"})
        if (data / "titanic/train.csv").exists():
            given = {"data": str(data / "titanic"), "epochs": 5, "folds": 2, "quiet": True, "out": "titanic"}
            runs["titanic"] = recipes.call("titanic", given)
        if (data / "covid_hw1/covid.train.csv.gz").exists():
            given = {"data": str(data / "covid_hw1/covid.train.csv.gz"), "epochs": 4, "quiet": True, "out": "covid"}
            runs["covid"] = recipes.call("table", given)
        runs["hostile"] = hostile(folder)
        shutil.copytree("digits", "unfinished")
        (folder / "unfinished/summary.json").unlink()
        shutil.rmtree("unfinished/evidence")
        runs["unfinished"] = gd.Run("unfinished")
        out = {}
        for name, run in runs.items():
            out[name] = folder / f"{name}.html"
            write_report(run.directory, out[name], "en")
        out["chinese"] = folder / "chinese.html"
        write_report(runs["digits"].directory, out["chinese"], "zh")
        out["compare"] = folder / "compare.html"
        write_comparison(
            read_runs([str(runs[name].path) for name in ("digits", "logistic", "hostile")]), out["compare"], "en"
        )
    return out


def hostile(folder: Path) -> gd.Run:
    """A run whose every name is an attack: its labels, its columns, its values, its directory, its figure."""
    random = np.random.default_rng(0)
    size = random.normal(size=120)
    table = {
        HOSTILE: size.round(3).astype(str),
        "b": np.where(size > 0, HOSTILE, "<b>no</b>"),
        "y": np.where(size + random.normal(size=120) > 0, HOSTILE, "%{customdata}<a href='javascript:1'>x</a>"),
    }
    data = gd.data.table(table, "y")
    model = gd.models.MLP(data.num_inputs, 4, data.num_outputs)
    out = folder / "<img src=x onerror=alert(1)>"
    run = gd.train(model, data, epochs=4, quiet=True, out=str(out))
    drawing = f'{{"title": {quoted(HOSTILE)}, "note": "", "data": [{{"type": "surface", "z": [[1, 2], [3, 5]]}}], '
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "x.json").write_text(drawing + f'"layout": {{"title": {{"text": {quoted(HOSTILE)}}}}}}}')
    return run


def quoted(text: str) -> str:
    import json

    return json.dumps(text)


@pytest.fixture(name="show")
def _show(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page offline; whatever it logs, throws or asks the net for fails the test at its end."""
    faults: list[str] = []
    contexts = []

    def show(address: Path | str, width: int = 1280, scheme: Any = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=isinstance(address, Path)
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on(
            "console", lambda said: faults.append(said.text) if said.type == "error" or "WARN:" in said.text else None
        )
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        own = address.as_uri() if isinstance(address, Path) else address
        page.on("request", lambda asked: None if asked.url.startswith((own, "data:")) else faults.append(asked.url))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(own)
        page.wait_for_selector("html[data-drawn]", state="attached")
        return page

    yield show
    for context in contexts:
        context.close()
    assert faults == []


def of(pages: dict[str, Path], name: str) -> Path:
    if name not in pages:
        pytest.skip(f"the real data for {name} are absent (set GRADUS_DATA)")
    return pages[name]


def luminance(page: Page, element: str, what: str) -> float:
    """The relative luminance (WCAG 2.2) of a colour of an element."""
    told = page.eval_on_selector(element, f"e => getComputedStyle(e).{what}")
    parts = [float(p) / 255 for p in re.findall(r"[\d.]+", told)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, element: str) -> float:
    """The contrast (WCAG 2.2) of an element's text on the page."""
    pair = sorted((luminance(page, element, "color"), luminance(page, "body", "backgroundColor")))
    return (pair[1] + 0.05) / (pair[0] + 0.05)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_opens_offline_and_fits_any_width(
    name: str, pages: dict[str, Path], show: Callable[..., Page]
) -> None:
    page = show(of(pages, name))
    charts = page.locator(".chart").count()
    assert charts >= 4
    assert page.locator(".chart .main-svg").count() >= charts  # every one was drawn
    for width in (1280, 820, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.wait_for_function(
            "[...document.querySelectorAll('.chart .main-svg')].every(s => s.clientWidth <= innerWidth)"
        )
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_no_number_of_steps_moves_the_margins_for_ever(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    """Plotly warns, which fails the test, where a margin's ticks and a tick's margin chase each other."""
    page = show(pages["digits"])
    for steps in (37, 101, 333, 501, 508, 999, 1_000, 1_024, 10_007):  # 501 and 508 once did
        last = page.evaluate(
            """async (steps) => {
                for (const chart of ["loss", "metric-accuracy", "lr", "gradient"]) {
                    const place = document.getElementById(`chart-${chart}`);
                    const stretched = (x) => x.map((_, i) => Math.round(1 + (i * (steps - 1)) / (x.length - 1 || 1)));
                    await Plotly.react(place, place.data.map((t) => ({ ...t, x: stretched(t.x) })), place.layout);
                }
                return document.getElementById("chart-lr").data[0].x.at(-1);
            }""",
            steps,
        )
        assert last == steps


def test_hovering_over_a_curve_shows_its_value(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["digits"])
    page.locator("#chart-loss").scroll_into_view_if_needed()
    box = page.locator("#chart-loss .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown = page.locator("#chart-loss .hoverlayer")
    shown.locator("text").first.wait_for()
    words = str(shown.text_content())
    assert re.search(r"step \d+", words)
    step = int(re.findall(r"step (\d+)", words)[0])
    losses = page.evaluate("document.getElementById('chart-loss').data[0]")
    loss = losses["y"][losses["x"].index(step)]
    assert f"{loss:.4g}" in words


def test_a_cell_of_the_confusion_matrix_tells_its_count(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["digits"])
    page.locator("#chart-confusion").scroll_into_view_if_needed()
    box = page.locator("#chart-confusion .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 20, box["y"] + box["height"] / 20)  # true 0, predicted 0
    page.locator("#chart-confusion .hoverlayer text").first.wait_for()
    words = str(page.locator("#chart-confusion .hoverlayer").text_content())
    count = page.evaluate("document.getElementById('chart-confusion').data[0].text[0][0]")
    assert "true 0" in words
    assert "predicted 0" in words
    assert words.endswith(count)


def test_smoothing_and_the_logarithmic_axis_answer(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["digits"])
    state = (
        "(() => { const c = document.getElementById('chart-loss'); return [c.data.length, c.layout.yaxis.type]; })()"
    )
    assert page.evaluate(state) == [3, "linear"]  # train raw and smoothed; validation, of few points, raw
    page.locator("#smoothing").fill("0")
    assert page.evaluate(state) == [2, "linear"]
    page.locator("#smoothing").fill("0.98")
    assert page.evaluate(state) == [4, "linear"]
    raw, smooth = (page.evaluate(f"document.getElementById('chart-loss').data[{i}].y") for i in (0, 1))
    expected, total, share = [], 0.0, 0.0
    for value in raw:
        total, share = 0.98 * total + 0.02 * value, 0.98 * share + 0.02
        expected.append(total / share)
    assert smooth == pytest.approx(expected)
    page.locator("[data-log=loss]").check()
    assert page.evaluate(state) == [4, "log"]


@pytest.mark.parametrize("name", ["digits", "covid", "compare"])
def test_light_and_dark_differ_and_can_be_read(name: str, pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(of(pages, name))
    drawn = "document.querySelector('.chart .xtick text').style.fill"
    seen = {}
    for theme in ("light", "dark"):
        seen[theme] = (luminance(page, "body", "backgroundColor"), page.evaluate(drawn))
        for element in ("h1", "h2", "td", "th", ".margin p", "summary", ".said", ".best", ".quiet", ".kind"):
            if page.locator(element).count():
                assert contrast(page, element) >= 4.5, (theme, element)
        page.locator("#theme").click()
    assert seen["light"][0] > 0.8
    assert seen["dark"][0] < 0.05
    assert seen["light"][1] != seen["dark"][1]  # the charts have changed with the page


def test_the_system_s_theme_is_followed(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["digits"], scheme="dark")
    assert luminance(page, "body", "backgroundColor") < 0.05
    page.emulate_media(color_scheme="light")
    assert luminance(page, "body", "backgroundColor") > 0.8


def test_printing_is_light_and_whole(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["digits"], scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert luminance(page, "body", "backgroundColor") > 0.8
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert luminance(page, "body", "backgroundColor") < 0.05
    assert page.locator("details[open]").count() == 0


def test_hostile_names_are_words_and_nothing_else(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["hostile"])
    assert page.title() == "<img src=x onerror=alert(1)> · Gradus"
    assert page.locator("h1").inner_text() == "<img src=x onerror=alert(1)>"
    assert page.locator("img, iframe, a").count() == 0
    assert HOSTILE.replace("\u2028", " ") in page.locator("#confusion").inner_text().replace("\u2028", " ")
    box = page.locator("#chart-confusion .nsewdrag").first
    box.scroll_into_view_if_needed()
    box.hover()
    page.locator("#chart-confusion .hoverlayer text").first.wait_for()
    assert "</script>" in str(page.locator("#chart-confusion").text_content())
    compared = show(pages["compare"])
    assert compared.locator("img, a").count() == 0
    assert "onerror" in compared.locator("#runs").inner_text()


def test_a_comparison_draws_every_run_on_one_axis(pages: dict[str, Path], show: Callable[..., Page]) -> None:
    page = show(pages["compare"], width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#smoothing").fill("0")
    assert page.evaluate("document.getElementById('chart-train-loss').data.length") == 3
    assert page.locator("#differences td").count() > 3
    assert page.locator(".best").count() > 0
    assert page.locator(".alarm").count() == 1  # not the same data


def test_a_live_page_fills_up_and_becomes_the_report(show: Callable[..., Page], tmp_path: Path) -> None:
    arguments = "train digits --minutes 0.15 --width 8 --watch --out r"  # long enough to be looked at on any machine
    command = [sys.executable, "-m", "gradus", *arguments.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})
    assert process.stdout is not None
    address = next(m[1] for line in process.stdout if (m := re.match(r"watch +(http://127\.0\.0\.1:\d+/)", line)))
    page = show(address)
    points = "document.getElementById('chart-loss')?.data?.[0].x.length ?? 0"
    page.wait_for_function(f"{points} > 3")
    page.evaluate("document.getElementById('chart-loss').mark = 1")
    early = page.evaluate(points)
    page.wait_for_function(f"{points} > {early}")
    assert page.locator(".state").inner_text() == "training"
    page.wait_for_selector("html[data-ended]", state="attached", timeout=60_000)
    ended = time.monotonic()
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - ended < 5
    process.stdout.close()
    assert page.locator(".state").inner_text() == "finished"
    assert page.evaluate("document.getElementById('chart-loss').mark") == 1  # moved on in place, never drawn anew
    test = gd.Run("r").metrics["test"]["accuracy"]
    assert page.locator(".big").inner_text() == f"{test:.4f}"
    assert page.locator("#worst img").count() > 0
    assert page.locator("#chart-confusion .main-svg").count() > 0
    assert page.locator(".lost").count() == 0
    write_report(gd.Run("r").directory, tmp_path / "report.html", "en")
    static = show(tmp_path / "report.html")
    assert static.locator("main").inner_text() == page.locator("main").inner_text()
