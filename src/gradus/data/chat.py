"""Conversations as tokens: messages checked, written by the vocabulary's template, and which tokens to learn of it."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from gradus.data import chat_template
from gradus.data.characters import whole_characters
from gradus.data.tokens import Tokens
from gradus.errors import UserError

Message = dict[str, str]
"""``role`` (system, user or assistant) and ``content``."""

ROLES = ("system", "user", "assistant")
PROBE: list[Message] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]

# halves of characters: no content has any, for they are replaced before
_GUARD, _PLACE = "\ud800", "\ud801"


def check_messages(value: Any, where: str) -> list[Message]:
    """Messages as they came from a file or a request, in the form that OpenAI's protocol has.

    They may come in any order, also with an assistant's first; whether a model's template takes that is told by
    ``encode_chat``. A content may be a list of parts, all of them text. Other keys are left aside.

    Args:
        where: what they are of, for the message.

    Raises:
        UserError: where there are none, or one of them is no message.
    """
    if not isinstance(value, list | tuple):
        raise UserError(f'{where}: messages must be a list, such as [{{"role": "user", "content": "…"}}].')
    if not value:
        raise UserError(f"{where}: no messages. Give at least one.")
    return [_message(one, f"{where}, message {number}") for number, one in enumerate(value, start=1)]


def encode_chat(
    tokens: Tokens, messages: Sequence[Mapping[str, str]], *, answer: bool = False
) -> tuple[list[int], list[bool]]:
    """A conversation as ids, by the template of the vocabulary, and which of them are to be learnt.

    What a person wrote never becomes a special token, whatever it spells. To be learnt is what the model writes itself:
    all from where the template leaves an answer to be written, up to and with the special token that ends it. An answer
    is cut into tokens apart from what stands before it, as when it is written.

    Args:
        answer: whether the template's beginning of an answer comes last, for the model to go on from.

    Raises:
        UserError: for a vocabulary without a template, or one whose template refuses the messages.
    """
    if not tokens.has_chat:
        raise UserError("this vocabulary has no chat template. Take a model that was tuned for conversations.")
    told = [{**m, "content": _guarded(tokens, m["content"])} for m in check_messages(messages, "the conversation")]
    text = _written(tokens, told, answer)
    answers = [number for number, message in enumerate(told) if message["role"] == "assistant"]
    ids: list[int] = []
    learn: list[bool] = []
    done = 0
    for begin, end in [*(_span(tokens, told, number, text, answer) for number in answers), (len(text), len(text))]:
        if begin >= done:
            for part, learnt in ((text[done:begin], False), (text[begin:end], True)):
                found = _ids(tokens, part)
                ids += found
                learn += [learnt] * len(found)
            done = end
    return ids, learn


def end_of_answer(tokens: Tokens) -> int | None:
    """The special token that ends an answer by the template; None where there is none, or the template is unusual."""
    try:
        ids, learn = encode_chat(tokens, PROBE)
    except UserError:
        return None
    last = next((i for i, learnt in zip(reversed(ids), reversed(learn), strict=True) if learnt), None)
    return last if last in tokens.specials.values() else None


def _message(one: Any, where: str) -> Message:
    if not isinstance(one, Mapping) or "role" not in one:
        raise UserError(f'{where}: not a message such as {{"role": "user", "content": "…"}}.')
    role, content = one["role"], one.get("content")
    if role not in ROLES:
        raise UserError(f"{where}: the role {role!r} isn't known; give {', '.join(ROLES[:-1])} or {ROLES[-1]}.")
    if isinstance(content, list) and all(isinstance(p, Mapping) and isinstance(p.get("text"), str) for p in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise UserError(f"{where}: the content must be text, not {type(content).__name__}.")
    return {"role": role, "content": whole_characters(content)}


def _written(tokens: Tokens, messages: Sequence[Message], answer: bool) -> str:
    return chat_template.render(tokens.template, messages, answer=answer, tokens=_names(tokens))


@functools.lru_cache(maxsize=16)
def _names(tokens: Tokens) -> dict[str, str | None]:
    """The special tokens that a template may name."""
    names = {i: name for name, i in tokens.specials.items()}
    return {
        "bos_token": None if tokens.bos_id is None else names.get(tokens.bos_id),
        "eos_token": names.get(tokens.eos_id),
        "pad_token": names.get(tokens.pad_id),
    }


@functools.lru_cache(maxsize=16)
def _special(tokens: Tokens) -> re.Pattern[str]:
    """Finds the special tokens in a text, with the blanks that some of them swallow."""
    return re.compile("|".join(f"{before}({re.escape(name)}){after}" for name, before, after in tokens.special_forms))


@functools.lru_cache(maxsize=16)
def _parts_of_special(tokens: Tokens) -> tuple[re.Pattern[str], tuple[str, ...], tuple[str, ...]]:
    """Finds what is spelled as a special token; and all with which one of them may end, and begin."""
    names = [name for name, _, _ in tokens.special_forms]
    ends = tuple({name[size:] for name in names for size in range(1, len(name))})
    begins = tuple({name[:size] for name in names for size in range(1, len(name))})
    return re.compile("|".join(map(re.escape, names))), ends, begins


def _guarded(tokens: Tokens, content: str) -> str:
    """A content in which nothing is a special token, nor becomes one with what is written before or after it."""
    spelled, ends, begins = _parts_of_special(tokens)
    content = spelled.sub(lambda found: found[0][:1] + _GUARD + found[0][1:], content)
    return _GUARD * content.startswith(ends) + content + _GUARD * content.endswith(begins)


def _span(tokens: Tokens, messages: list[Message], number: int, text: str, answer: bool) -> tuple[int, int]:
    """Where in a written conversation an answer begins, and where what ends it ends; (-1, -1) where that isn't found.

    It begins where the text ends that is written of the messages before it to have it answered. Where a template writes
    these differently afterwards, it begins where something else in its place would.
    """
    begin, after = -1, ""
    with contextlib.suppress(UserError):  # templates refuse some conversations, such as an empty one
        asked = _written(tokens, messages[:number], True)
        begin = len(asked) if text.startswith(asked) else -1
    found = _special(tokens).search(text, max(begin, 0))
    if begin < 0 or found is None:
        without = [*messages[:number], {**messages[number], "content": _PLACE}, *messages[number + 1 :]]
        with contextlib.suppress(UserError):
            before, place, after = _written(tokens, without, answer).partition(_PLACE)
            begin = len(before) if place and begin < 0 and text.startswith(before) else begin
        found = _special(tokens).search(text, max(begin, 0))
    if begin < 0:
        _tell_not_found(tokens.template)
        return -1, -1
    return begin, found.end() if found else max(begin, len(text) - len(after))


@functools.cache
def _tell_not_found(template: str) -> None:
    line = "the chat template writes some answers in such a way that they aren't found: they are not learnt"
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{'chat':<11}{line}")


def _ids(tokens: Tokens, text: str) -> list[int]:
    """A part of a written conversation as ids: special tokens as such, what is between them as text."""
    ids: list[int] = []
    done = 0
    for found in _special(tokens).finditer(text):
        ids += tokens.encode_text(text[done : found.start()].replace(_GUARD, ""))
        ids.append(tokens.specials[str(found[found.lastindex or 0])])
        done = found.end()
    return ids + tokens.encode_text(text[done:].replace(_GUARD, ""))
