"""A conversation as it goes on: its messages, how answers are drawn, the documents that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradus.errors import UserError, nearest
from gradus.language.partner import Answer, Message, Partner

if TYPE_CHECKING:
    from gradus.language.documents import Index, Passage

OPTIONS: dict[str, type[int] | type[float]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "min_p": float,
    "repetition_penalty": float,
    "seed": int,
    "max_tokens": int,
}
"""What can be set of how answers are drawn."""
CONTINUED = 200  # tokens that a model writes that wasn't taught where an answer ends


class Turn:
    """One answer: iterate over its pieces, which enters it into the conversation, also where it is stopped halfway.

    Attributes:
        sources: the passages that it is drawn from.
        answer: None where nothing was found in the documents, and so the model wasn't asked.
    """

    def __init__(self, session: Session, sources: list[Passage], answer: Answer | None, instead: str = "") -> None:
        self.sources, self.answer = sources, answer
        self._session, self._instead = session, instead

    @property
    def finish(self) -> str:
        return self.answer.finish if self.answer else "nothing found"

    @property
    def usage(self) -> dict[str, int]:
        return self.answer.usage if self.answer else {}

    @property
    def left_out(self) -> int:
        return self.answer.left_out if self.answer else 0

    def __iter__(self) -> Iterator[str]:
        if self.answer is None:
            yield self._instead
            return
        said = ""
        try:
            for piece in self.answer:
                said += piece
                yield piece
        finally:
            self.answer.stop()
            if said:
                self._session.messages.append({"role": "assistant", "content": said})
            else:
                self._session.messages.pop()  # a question without an answer

    def cited(self) -> list[str]:
        """A line for each source: number, file, place, score."""
        return [f"[{number}] {passage.source} ({passage.score:.2f})" for number, passage in enumerate(self.sources, 1)]


class Session:
    """A conversation with a partner.

    Args:
        options: fields of ``Sampling`` that were given.
        index: documents that every answer is drawn from.
    """

    def __init__(
        self, partner: Partner, options: Mapping[str, Any], *, system: str | None = None, index: Index | None = None
    ) -> None:
        self.partner, self.index, self.system = partner, index, system
        self.options = {**({} if partner.chats else {"max_tokens": CONTINUED}), **options}
        self.messages: list[Message] = []  # without the system's

    def ask(self, question: str) -> Turn:
        """Ask something. The pieces of the answer come by iterating over what is given back.

        Raises:
            UserError: where the partner refuses; the conversation is as it was.
        """
        sources: list[Passage] = []
        put = question
        if self.index is not None:
            sources = self.index.search(question)
            if not sources:
                from gradus.language.grounding import NOTHING, language_of

                return Turn(self, [], None, NOTHING[language_of(question)])
            put, sources = self._grounded(question, sources)
        answer = self.partner.answer([*self._before(), {"role": "user", "content": put}], self.options)
        self.messages.append({"role": "user", "content": question})
        return Turn(self, sources, answer)

    def retry(self) -> Turn:
        """Ask the last question again."""
        before = list(self.messages)
        try:
            return self.ask(self.undo())
        except UserError:
            self.messages = before
            raise

    def undo(self) -> str:
        """Take back the last question and its answer. Gives the question."""
        place = max((i for i, message in enumerate(self.messages) if message["role"] == "user"), default=None)
        if place is None:
            raise UserError("nothing was asked yet.")
        question = self.messages[place]["content"]
        del self.messages[place:]
        return question

    def set(self, name: str, value: str) -> None:
        """Set an option; ``default`` leaves it to the model again."""
        key = name.replace("-", "_")
        if key not in OPTIONS:
            raise UserError(f"/set {name}: not known.{nearest(key, OPTIONS)}")
        if value == "default":
            self.options.pop(key, None)
            return
        try:
            self.options[key] = OPTIONS[key](value)
        except ValueError:
            raise UserError(f"/set {name} {value}: give a number, or default.") from None

    def save(self, path: Path) -> None:
        """Write the conversation as a line of JSON, in the form that ``gradus train instruct`` reads.

        Raises:
            UserError: where the file is there already, or can't be written.
        """
        line = json.dumps({"messages": [*self._before()]}, ensure_ascii=False)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(line + "\n")
        except FileExistsError:
            raise UserError(f"{path}: it is there already, and isn't written over. Give another name.") from None
        except OSError as error:
            raise UserError(f"{path}: can't be written: {error.strerror}.") from None

    def load(self, path: Path) -> None:
        """Go on with a conversation that was saved, or the first one of a file of them.

        Raises:
            UserError: where there is none in the file.
        """
        from gradus.data.chat import check_messages

        try:
            with path.open(encoding="utf-8") as file:
                body = json.loads(file.readline())
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error.strerror}.") from None
        except ValueError:
            raise UserError(f"{path}: its first line isn't a conversation in JSON.") from None
        messages = check_messages(body.get("messages") if isinstance(body, dict) else body, str(path))
        self.system = messages[0]["content"] if messages[0]["role"] == "system" else None
        self.messages = [message for message in messages if message["role"] != "system"]

    def _before(self) -> list[Message]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.messages]

    def _grounded(self, question: str, passages: list[Passage]) -> tuple[str, list[Passage]]:
        from gradus.language.grounding import grounded

        system = self._before()[: bool(self.system)]
        return grounded(
            question, passages, lambda text: self.partner.fits([*system, {"role": "user", "content": text}])
        )
