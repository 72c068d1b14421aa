"""From the body of a request, already checked, to what is asked of the model: prompts as ids, and how to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from gradus.data.chat import Message, check_messages, encode_chat
from gradus.data.tokens import Tokens
from gradus.errors import UserError
from gradus.language.model import LanguageModel
from gradus.language.sampling import Sampling
from gradus.serving.fields import LEGACY_MAX_TOKENS
from gradus.serving.protocol_error import wrong


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Args:
        prompts: as ids, each with room for an answer.
        sampling: how to write; None where nothing is to be written.
        n: answers to each prompt.
        stream: whether the answers come piece by piece.
        include_usage: whether a stream ends with the count of tokens.
        echo: whether each answer begins with its prompt.
        logprobs: alternatives that are told to each token; None: no log-probabilities.
        begun: tokens that were put before each prompt, as the model's texts begin.
    """

    prompts: list[list[int]]
    sampling: Sampling | None
    n: int
    stream: bool
    include_usage: bool
    echo: bool = False
    logprobs: int | None = None
    begun: int = 0

    def writings(self) -> Iterator[tuple[list[int], Sampling]]:
        """Each answer's prompt and sampling; the answers to one prompt have seeds that follow one another."""
        if self.sampling is not None:
            given = {f.name: getattr(self.sampling, f.name) for f in fields(Sampling)}
            for prompt in self.prompts:
                for number in range(self.n):
                    seed = None if given["seed"] is None else given["seed"] + number
                    yield prompt, Sampling(**{**given, "seed": seed})


def read_messages(body: dict[str, Any]) -> list[Message]:
    """The messages of a chat, each content one text; a developer is the system."""
    said = [{**m, "role": "system" if m["role"] == "developer" else m["role"]} for m in body["messages"]]
    return check_messages(said, "messages")


def chat_asked(body: dict[str, Any], messages: list[Message], lm: LanguageModel) -> Asked:
    """What a request for a chat's next answer asks for.

    Raises:
        ProtocolError: 400 for fields that don't go together, messages that the template refuses or that don't fit.
    """
    most = [body[key] for key in ("max_tokens", "max_completion_tokens") if body.get(key) is not None]
    if len(set(most)) > 1:
        raise wrong("max_tokens and max_completion_tokens say the same; give one.", "max_tokens")
    alternatives = body.get("top_logprobs")
    if alternatives is not None and not body.get("logprobs"):
        raise wrong("top_logprobs needs logprobs: true.", "top_logprobs")
    logprobs = (alternatives or 0) if body.get("logprobs") else None
    try:
        ids, _ = encode_chat(lm.tokens, messages, answer=True)
    except UserError as error:
        raise wrong(str(error), "messages") from None
    _check_fits(ids, lm, "messages")
    return Asked([ids], _sampling(body, most[0] if most else None, logprobs), **_common(body), logprobs=logprobs)


def completion_asked(body: dict[str, Any], lm: LanguageModel) -> Asked:
    """What a request to go on with texts asks for.

    Raises:
        ProtocolError: 400 for texts that don't fit, or an answer of nothing.
    """
    prompts = prompts_of(body["prompt"], lm.tokens)
    for place, ids in enumerate(prompts):
        _check_fits(ids, lm, "prompt" if len(prompts) == 1 else f"prompt[{place}]")
    most, common = body.get("max_tokens"), _common(body)
    most = LEGACY_MAX_TOKENS if most is None else most
    if most == 0 and (common["stream"] or not body.get("echo")):
        raise wrong("max_tokens: 0 writes nothing; it is for echo without stream.", "max_tokens")
    logprobs = body.get("logprobs")
    if body.get("echo") and logprobs is not None and common["stream"]:
        raise wrong("echo with logprobs doesn't come as a stream.", "stream")
    sampling = _sampling(body, most, logprobs) if most else None
    begun = len(lm.tokens.begin_ids) if isinstance(_several(body["prompt"])[0], str) else 0
    return Asked(prompts, sampling, **common, echo=bool(body.get("echo")), logprobs=logprobs, begun=begun)


def prompts_of(value: Any, tokens: Tokens) -> list[list[int]]:
    """One text, some, the ids of one or those of some, as the ids of each; of nothing the end before it."""
    return [_ids(one, tokens) or [tokens.eos_id] for one in _several(value)]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) and value and isinstance(value[0], str | list) else [value]


def _ids(value: Any, tokens: Tokens) -> list[int]:
    """The ids of a text, begun as the model's texts are, or ids as they are."""
    if isinstance(value, str):
        return [*tokens.begin_ids, *tokens.encode_text(value)]
    return [int(number) for number in value]


def _check_fits(ids: list[int], lm: LanguageModel, where: str) -> None:
    if len(ids) >= lm.max_length:
        raise wrong(
            f"This model has places for {lm.max_length} tokens, and {where} alone came to {len(ids)}. Shorten it.",
            where,
            "context_length_exceeded",
        )


def _common(body: dict[str, Any]) -> dict[str, Any]:
    stream = bool(body.get("stream"))
    options = body.get("stream_options")
    if options is not None and not stream:
        raise wrong("stream_options needs stream: true.", "stream_options")
    return {"n": int(body.get("n") or 1), "stream": stream, "include_usage": bool((options or {}).get("include_usage"))}


def _sampling(body: dict[str, Any], max_tokens: int | None, logprobs: int | None) -> Sampling:
    numbers = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
    given: dict[str, Any] = {key: body[key] for key in numbers if body.get(key) is not None}
    given |= {key: int(body[key]) for key in ("top_k", "seed") if body.get(key) is not None}
    stop = body.get("stop") or ()
    bias = {int(token): float(value) for token, value in (body.get("logit_bias") or {}).items()}
    try:
        return Sampling(
            **given,
            max_tokens=None if max_tokens is None else int(max_tokens),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            logprobs=None if logprobs is None else int(logprobs),
            logit_bias=bias or None,
        )
    except UserError as error:
        raise wrong(str(error)) from None
