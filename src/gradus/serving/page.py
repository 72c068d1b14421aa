"""The chat page: one file with all that it needs, and a policy that lets nothing else into it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from starlette.responses import HTMLResponse


def page() -> HTMLResponse:
    """The page. It may ask this server alone, and run only the script and the style that are its own."""
    text, policy = _page()
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(text, headers=headers)


@cache
def _page() -> tuple[str, str]:
    """The page's text and its policy, which knows script and style by their hashes."""
    assets = files("gradus.serving") / "assets"
    names = ("chat.html", "chat.css", "words.js", "pieces.js", "chat.js")
    text, css, *scripts = ((assets / name).read_text(encoding="utf-8") for name in names)
    js = "\n".join(scripts)
    rules = {
        "default-src": "'none'",
        "script-src": _hash(js),
        "style-src": _hash(css),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return text.replace("{css}", css).replace("{js}", js), "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
