"""The chat page in a real browser: what a person does there, in English and Chinese, and that nothing else gets in."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from serving_script import running

from gradus.language.documents import Passage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ANSWER = "article.assistant .said"
Show = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with running(writes="script", milliseconds=4, max_length=512) as (address, _):
        yield address


@pytest.fixture(name="show")
def _show(browser: Browser, served: str) -> Iterator[Show]:
    """Open the page; what it logs as an error, throws, or asks of another server fails the test at its end."""
    faults: list[str] = []
    contexts = []

    def show(
        address: str = served, width: int = 1000, locale: str = "en-US", expected: tuple[str, ...] = (), **more: Any
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, locale=locale, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)

        def logged(said: Any) -> None:
            if said.type == "error" and not any(words in said.text for words in expected):
                faults.append(said.text)

        page.on("console", logged)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda asked: None if asked.url.startswith((address, "data:")) else faults.append(asked.url))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(address)
        return page

    yield show
    for context in contexts:
        context.close()
    assert faults == []


def ready(page: Page) -> Page:
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def ask(page: Page, text: str) -> str:
    """Send a message with Enter and wait for the whole answer."""
    page.fill("#text", text)
    page.press("#text", "Enter")
    page.wait_for_selector("#send:not([hidden])")
    until(page, "!document.querySelector('.writing')")
    return page.locator(ANSWER).last.inner_text()


def until(page: Page, condition: str) -> None:
    """Wait until something holds. (Playwright's own waiting evaluates strings, which the page's policy forbids.)"""
    end = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def rows_in_use(address: str) -> int:
    with urllib.request.urlopen(f"{address}/health") as answer:
        return int(json.load(answer)["running"])


def test_a_message_is_answered_and_its_tokens_are_told(show: Show) -> None:
    page = ready(show())
    assert page.locator("#send").is_disabled()
    assert ask(page, "hello") == "Hello! How are you?"
    assert page.locator("article.user").all_inner_texts() == ["hello"]
    foot = page.locator("article.assistant .foot").inner_text()
    assert "20 tokens" in foot  # with the one that ends it
    assert "tokens/s" in foot
    assert ask(page, "count 3") == "0 1 2"
    assert page.locator("article").count() == 4


def test_an_answer_grows_as_it_is_written_and_is_stopped(show: Show, served: str) -> None:
    page = ready(show())
    page.fill("#text", "long")
    page.press("#text", "Enter")
    until(page, f"document.querySelector('{ANSWER}')?.textContent.length > 20")
    before = page.locator(ANSWER).inner_text()
    assert rows_in_use(served) == 1
    until(page, f"document.querySelector('{ANSWER}').textContent.length > {len(before)} + 20")
    page.click("#stop")
    page.wait_for_selector("#send:not([hidden])")
    until(page, "document.querySelector('.foot').textContent.includes('stopped')")
    kept = page.locator(ANSWER).inner_text()
    page.wait_for_timeout(300)
    assert page.locator(ANSWER).inner_text() == kept
    assert rows_in_use(served) == 0
    assert page.locator("article.assistant .error").count() == 0


def test_chats_are_kept_and_new_ones_begun(show: Show) -> None:
    page = ready(show())
    ask(page, "count 3")
    page.click("#new")
    assert page.locator("article").count() == 0
    ask(page, "count 5")
    assert page.locator("#list .open").all_inner_texts() == ["count 5", "count 3"]
    page.click("#list li:nth-child(2) .open")
    assert page.locator(ANSWER).all_inner_texts() == ["0 1 2"]
    page.reload()
    ready(page)
    assert page.locator(ANSWER).all_inner_texts() == ["0 1 2 3 4"]  # the newest
    page.locator("#list li").nth(1).hover()
    page.click("#list li:nth-child(2) .drop")
    page.reload()
    assert ready(page).locator("#list .open").all_inner_texts() == ["count 5"]


def test_an_answer_is_written_again(show: Show) -> None:
    page = ready(show())
    ask(page, "hello")
    page.get_by_role("button", name="Again").click()
    page.wait_for_selector("#send:not([hidden])")
    until(page, "!document.querySelector('.writing')")
    assert page.locator("article").count() == 2
    assert page.locator(ANSWER).inner_text() == "Hello! How are you?"


def test_enter_ends_a_chinese_word_before_it_sends(show: Show) -> None:
    """As an input method does it: the Enter that chooses a word is a part of the composition."""
    page = ready(show(locale="zh-CN"))
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.locator("#text").get_attribute("placeholder") == "输入消息"
    page.focus("#text")
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Process", "windowsVirtualKeyCode": 229})
    press = "text => text.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    page.eval_on_selector("#text", press)
    assert page.locator("article").count() == 0
    keyboard.send("Input.insertText", {"text": "你好，世界"})
    assert page.input_value("#text") == "你好，世界"
    assert page.locator("article").count() == 0
    page.press("#text", "Enter")
    until(page, "!document.querySelector('.writing') && document.querySelector('.foot')")
    assert page.locator("article.user").inner_text() == "你好，世界"
    assert page.locator(ANSWER).inner_text() == "You said: 你好，世界"
    assert "个词元" in page.locator(".foot").inner_text()


def test_shift_and_enter_begin_a_new_line(show: Show) -> None:
    page = ready(show())
    page.focus("#text")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.input_value("#text") == "one\ntwo"
    page.keyboard.press("Enter")
    page.wait_for_selector("article.user")
    assert page.locator("article.user").inner_text() == "one\ntwo"


def test_markdown_is_made_of_elements_and_html_stays_text(show: Show) -> None:
    page = ready(show(permissions=["clipboard-read", "clipboard-write"]))
    ask(page, "markdown")
    said = page.locator(ANSWER)
    for element, text in (("h3", "A heading"), ("em", "light"), ("strong", "heavy"), ("ol li >> nth=1", "second")):
        assert said.locator(element).inner_text() == text
    assert said.locator("ul li").inner_text() == "a point <img src=x onerror=alert(1)>"
    assert said.locator("img").count() == 0
    assert said.locator("pre").inner_text() == "def double(x):\n    return 2 * x  # <b>not bold</b>"
    link = said.locator("a")
    assert link.get_attribute("href") == "https://example.com/a"
    assert "noopener" in str(link.get_attribute("rel"))
    said.locator(".code button").click()
    assert page.evaluate("navigator.clipboard.readText()") == "def double(x):\n    return 2 * x  # <b>not bold</b>"


HOSTILE = [
    "[x](javascript:alert(1))",
    "<script>alert(1)</script>",
    "![x](https://evil.example/x.png)",
    '[x](https://a.example/"onmouseover="alert(1))',
    "`<img src=x onerror=alert(1)>`",
    "**<svg onload=alert(1)>**",
    "1. <iframe src=//evil.example></iframe>",
    "# <style>*{display:none}</style>",
    "```html\n<script>alert(1)</script>",
    "> [x](data:text/html,<script>alert(1)</script>)",
]


def test_hostile_answers_are_only_text(show: Show) -> None:
    page = ready(show())
    made = page.evaluate(
        """texts => {
            const place = document.createElement("div");
            document.body.append(place);
            place.append(...texts.flatMap((text) => markdown(text)));
            return [...place.querySelectorAll("*")].flatMap((e) =>
                [e.localName, ...[...e.attributes].map((a) => a.name + "=" + a.value)]);
        }""",
        HOSTILE,
    )
    allowed = [
        "p",
        "h3",
        "h4",
        "ol",
        "ul",
        "li",
        "em",
        "strong",
        "code",
        "pre",
        "div",
        "span",
        "button",
        "blockquote",
        "a",
        "hr",
    ]
    attributes = [m for m in made if "=" in m]
    assert {m for m in made if "=" not in m} <= set(allowed)
    assert all(a.startswith(("class=", "type=", "start=", "href=https://", "target=", "rel=")) for a in attributes)


def test_markdown_takes_any_text_and_loses_none_of_it(show: Show) -> None:
    page = ready(show())
    pieces = ["*", "**", "`", "```", "\n", "a", " ", "#", "- ", "1. ", "> ", "[", "](", ")", "http://x.y", "中", "_"]
    lost = page.evaluate(
        """pieces => {
            let state = 1;
            const next = (n) => (state = (state * 48271) % 2147483647) % n;
            const letters = (text) => [...text].filter((c) => /[a中]/.test(c)).join("");
            const lost = [];
            for (let i = 0; i < 3000; i++) {
                const text = Array.from({length: next(14)}, () => pieces[next(pieces.length)]).join("");
                const place = document.createElement("div");
                place.append(...markdown(text));
                const shown = letters(place.textContent.replaceAll("Copy", ""));
                const hidden = [...text.matchAll(/http:\\/\\/x\\.y[a中\\w]*/g)].length;
                if (shown !== letters(text) && !hidden) lost.push([text, place.textContent]);
            }
            return lost.slice(0, 3);
        }""",
        pieces,
    )
    assert lost == []


def test_settings_are_sent_and_kept(show: Show, served: str) -> None:
    page = ready(show())
    page.click("#options")
    page.fill("[data-setting=system]", "Be short.")
    page.fill("[data-setting=temperature]", "0.3")
    page.fill("[data-setting=max_tokens]", "3")
    page.fill("[data-setting=top_p]", "7")  # more than there is: it isn't taken
    page.click("[data-close]")
    with page.expect_request(f"{served}/v1/chat/completions") as sent:
        answer = ask(page, "count 9")
    body = sent.value.post_data_json
    assert body["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "count 9"}]
    assert (body["temperature"], body["max_tokens"]) == (0.3, 3)
    assert "top_p" not in body
    assert answer == "0 1"
    assert "cut off" in page.locator(".foot").inner_text()
    page.reload()
    ready(page).click("#options")
    assert page.input_value("[data-setting=temperature]") == "0.3"


def test_a_chat_that_grew_too_long_loses_its_beginning(show: Show) -> None:
    page = ready(show(expected=("400",)))
    assert page.locator("#note").inner_text() == ""
    for number in range(30, 36):  # each some 90 tokens of 512
        assert ask(page, f"count {number}").split()[-1] == str(number - 1)
    assert "left out" in page.locator("#note").inner_text()
    assert page.locator("article").count() == 12


def test_what_the_server_refuses_is_told_and_can_be_tried_again(show: Show) -> None:
    page = ready(show(expected=("400", "Failed to load", "ERR_")))
    ask(page, "x" * 600)
    error = page.locator(".error")
    assert "places for 512 tokens" in error.inner_text()
    page.context.set_offline(True)
    error.get_by_role("button").click()
    until(page, "document.querySelector('.error')?.textContent.includes('reached')")
    page.context.set_offline(False)
    page.click("#new")
    assert ask(page, "hello") == "Hello! How are you?"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_width_in_light_and_dark(show: Show, scheme: str) -> None:
    page = ready(show(color_scheme=scheme))
    ask(page, "markdown")
    for width in (1280, 760, 400, 320):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for place in ("#send", "#text", "#options"):
            box = page.locator(place).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 600) == (scheme == "light")


def test_the_menu_of_a_narrow_screen(show: Show) -> None:
    page = ready(show(width=400))
    ask(page, "hello")
    assert not page.locator("#chats").is_visible()
    page.click("#menu")
    page.locator("#chats").wait_for(state="visible")
    page.click("#list .open")
    page.locator("#chats").wait_for(state="hidden")
    page.click("#fresh")
    assert page.locator("article").count() == 0


def test_a_server_with_a_key_asks_for_it_once(show: Show) -> None:
    with running(writes="script", api_key="sesame") as (address, _):
        page = show(address, expected=("401",))
        page.wait_for_selector("#ask[open]")
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        page.wait_for_selector("#key-wrong:not([hidden])")
        page.fill("#key", "sesame")
        page.press("#key", "Enter")
        assert ask(ready(page), "hello") == "Hello! How are you?"
        page.reload()
        assert ask(ready(page), "count 2") == "0 1"
        assert not page.locator("#ask").is_visible()


def test_a_server_that_goes_away_is_told(show: Show) -> None:
    with running(writes="script", milliseconds=10) as (address, server):
        page = ready(show(address, expected=("ERR_", "Failed to load")))
        page.fill("#text", "long")
        page.press("#text", "Enter")
        until(page, f"document.querySelector('{ANSWER}')?.textContent.length > 10")
        server.should_exit = True
        until(page, "document.querySelector('.error')?.textContent.includes('stopping')")
        page.wait_for_selector("#send:not([hidden])")


def test_an_answer_from_documents_tells_its_sources(show: Show) -> None:
    with running(writes="script", max_length=1024, documents=Shelf()) as (address, _):
        page = ready(show(address))
        assert "documents" in page.locator(".start").inner_text()
        assert "oil <b>" in ask(page, "How much oil?")
        page.click(".sources summary")
        assert page.locator(".sources li").inner_text() == "pump.md › Care › Oil\nTwo litres of oil <b>."
        assert "Nothing in the documents" in ask(page, "nothing")
        assert page.locator(".sources").count() == 1


class Shelf:
    """Documents with one passage, which fits all but one question."""

    def search(self, question: str) -> list[Passage]:
        return [] if question == "nothing" else [Passage("pump.md", "Care › Oil", "Two litres of oil <b>.", 1.0)]


def test_a_model_that_goes_on_with_texts_is_used_so(show: Show) -> None:
    with running(writes="gpt", chats=False) as (address, _):
        page = ready(show(address))
        assert "goes on with a text" in page.locator(".start").inner_text()
        with page.expect_request(f"{address}/v1/completions") as sent:
            ask(page, "the cat ")
        assert sent.value.post_data_json["prompt"] == "the cat "
        assert len(page.locator(ANSWER).inner_text()) > 10
