"""Chat templates: how a conversation is written as one text, in Jinja, as Hugging Face's tokenizers carry them.

A template may come with a model from the net, so that it runs in a sandbox.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from gradus.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Ours: each message is its role's mark, its content and ``<|end|>``."""


def render(
    template: str, messages: Sequence[Mapping[str, str]], *, answer: bool, tokens: Mapping[str, str | None]
) -> str:
    """A conversation as one text.

    Args:
        answer: whether the beginning of an answer comes last.
        tokens: the special tokens that a template may name: bos_token, eos_token, …

    Raises:
        UserError: for a template that can't be read, or that refuses these messages.
    """
    from jinja2 import TemplateError

    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=answer,
            tools=None,
            documents=None,
            **{name: token for name, token in tokens.items() if token is not None},
        )
    except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise UserError(f"the chat template refuses these messages: {_line(error)}.") from None


def check(template: str, where: str) -> None:
    """Refuse a template that can't be read.

    Raises:
        UserError: with the line.
    """
    from jinja2 import TemplateSyntaxError

    try:
        _compiled(template)
    except TemplateSyntaxError as error:
        raise UserError(f"{where}: the chat template can't be read, line {error.lineno}: {_line(error)}.") from None


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    """A template as Hugging Face's library compiles it, so that it gives the same text."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment.from_string(template)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
