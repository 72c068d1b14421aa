"""Whom one talks with: a model at hand, or one on a server; to the rest of a chat they are the same.

Where a conversation is longer than the model reads, its oldest turns are left out, and it is told how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gradus.errors import UserError
from gradus.language.remote import Remote, TooLong

if TYPE_CHECKING:
    from gradus.language.model import LanguageModel

Message = dict[str, str]
SMALL = 50_000_000  # weights: below, what isn't the likeliest token is seldom right
DRAWN = {"temperature", "top_p", "top_k", "min_p", "seed"}  # options of who wants answers to be drawn
LEAST_ANSWER = 64  # tokens that are kept free for an answer, and no more than a quarter of all


class Answer:
    """An answer that is being written: iterate over its pieces of text; ``stop`` where no more is wanted.

    Attributes:
        finish: ``stop`` or ``length`` once it is written, ``cancelled`` where it was stopped.
        usage: ``prompt_tokens`` and ``completion_tokens``, where they are known.
        left_out: the oldest messages that the model wasn't given.
    """

    def __init__(self, pieces: Callable[[Answer], Iterator[str]], left_out: int = 0) -> None:
        self.finish, self.left_out = "cancelled", left_out
        self.usage: dict[str, int] = {}
        self._pieces = pieces(self)

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def stop(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class Partner(Protocol):
    """What answers a conversation.

    Attributes:
        name: what the answers are of.
        chats: whether it was taught to answer; else it goes on with the last message as a text.
    """

    name: str
    chats: bool

    def answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Answer:
        """Answer the last message.

        Args:
            options: fields of ``gradus.language.Sampling``; those that aren't named are the model's own.

        Raises:
            UserError: for a bad option, or a message that alone is longer than the model reads.
        """
        ...

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether the system's message and the last one leave place for an answer."""
        ...

    def close(self) -> None: ...


class Served:
    """A model on a server."""

    chats = True

    def __init__(self, remote: Remote) -> None:
        self._remote, self.name = remote, f"{remote.model} at {remote.url}"

    def answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Answer:
        left_out = 0
        while True:
            kept = without_oldest(messages, left_out)
            try:
                chat = self._remote.chat(kept, options)
                break
            except TooLong:
                if len(without_oldest(messages, left_out + 1)) == len(kept):
                    raise
                left_out = len(messages) - len(without_oldest(messages, left_out + 1))

        def pieces(answer: Answer) -> Iterator[str]:
            yield from chat
            answer.finish, answer.usage = chat.finish, chat.usage

        return Answer(pieces, left_out)

    def fits(self, messages: Sequence[Message]) -> bool:
        return True  # the server tells where it doesn't

    def close(self) -> None:
        pass


class AtHand:
    """A model in this process, with an engine that writes for one person; a small one says what is likeliest."""

    def __init__(self, lm: LanguageModel) -> None:
        from gradus.language.engine import Engine

        self._lm, self.name, self.chats = lm, lm.name, lm.chats
        self.small = lm.chats and sum(weight.numel() for weight in lm.model.parameters()) < SMALL
        self._engine = Engine(lm, rows=1).start()

    def answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Answer:
        from gradus.language.sampling import Sampling

        usual: dict[str, Any] = {"temperature": 0.0} if self.small and not DRAWN & options.keys() else {}
        sampling = Sampling(**{**usual, **options})
        left_out = 0
        while not self._leaves_place(without_oldest(messages, left_out), sampling.max_tokens):
            fewer = without_oldest(messages, left_out + 1)
            if len(fewer) == len(messages) - left_out:
                raise UserError(
                    f"the message is too long: with it the model would read {len(self._ids(fewer)):,} tokens, and it "
                    f"has places for {self._lm.max_length:,}, the answer's among them. Make it shorter."
                )
            left_out = len(messages) - len(fewer)
        ids = self._ids(without_oldest(messages, left_out))
        request = self._engine.submit(ids, sampling)

        def pieces(answer: Answer) -> Iterator[str]:
            written = 0
            try:
                for piece in request.pieces():
                    written += len(piece.tokens)
                    answer.usage = {"prompt_tokens": len(ids), "completion_tokens": written}
                    if piece.finish:
                        answer.finish = piece.finish
                    yield piece.text
            finally:
                request.cancel()

        return Answer(pieces, left_out)

    def fits(self, messages: Sequence[Message]) -> bool:
        return self._leaves_place([*_system(messages), messages[-1]], None)

    def close(self) -> None:
        self._engine.close()

    def _leaves_place(self, messages: Sequence[Message], max_tokens: int | None) -> bool:
        room = self._lm.max_length
        wanted = min(max_tokens or LEAST_ANSWER, max(1, room // 4))
        return len(self._ids(messages)) + wanted <= room

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        tokens = self._lm.tokens
        if not self.chats:
            return [*tokens.begin_ids, *tokens.encode_text(messages[-1]["content"])]
        from gradus.data.chat import encode_chat

        return encode_chat(tokens, messages, answer=True)[0]


def without_oldest(messages: Sequence[Message], count: int) -> list[Message]:
    """A conversation without so many of its oldest messages, or one more, so that a question comes first.

    The system's message stays, and the last one.
    """
    system = _system(messages)
    rest = list(messages[len(system) :])
    kept = rest[min(count, len(rest) - 1) :]
    while len(kept) > 1 and count and kept[0]["role"] != "user":
        kept = kept[1:]
    return [*system, *kept]


def _system(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages[:1] if message["role"] == "system" and len(messages) > 1]
