"""HTTP: a language model over the OpenAI protocol, with a page to talk to it.

``app_of`` is the application, ``serve`` runs it. ``fields.py`` says what a request may hold: the same tables check the
requests and make ``/openapi.json``.
"""

from __future__ import annotations

from gradus.serving.app import app_of
from gradus.serving.server import listen, serve

__all__ = ["app_of", "listen", "serve"]
