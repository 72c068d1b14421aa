"""Vocabularies as Hugging Face's files: what its ``AutoTokenizer`` loads, and what of others' tokenizers is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradus.data import bpe as pieces
from gradus.data import chat_template, text_store
from gradus.data.bpe import MARKS, SPECIAL
from gradus.data.chat import end_of_answer
from gradus.data.tokens import END, EOS, Tokens
from gradus.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def save(tokens: Tokens, directory: Path) -> None:
    """Write a vocabulary as tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Raises:
        UserError: for one of words, which that format has no way to read as ours are; or where it can't be written.
    """
    names = {i: name for name, i in tokens.specials.items()}
    special: dict[str, Any] = {"eos_token": names.get(tokens.eos_id), "pad_token": names.get(tokens.pad_id)}
    if tokens.bos_id is not None:
        special["bos_token"] = names.get(tokens.bos_id)
    if tokens.tokenizer != "imported":
        special["unk_token"] = SPECIAL[1]
    if tokens.tokenizer == "chat":
        special["additional_special_tokens"] = list(MARKS)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **special,
        **({"chat_template": tokens.template} if tokens.template else {}),
    }
    content = _library_json(tokens)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text_store.write(directory / "tokenizer.json", content)
        text_store.write(directory / "special_tokens_map.json", _json(special))
        text_store.write(directory / "tokenizer_config.json", _json(config))
    except OSError as error:
        raise UserError(f"{directory}: the tokenizer can't be written there: {error.strerror}.") from None


def load(directory: Path) -> Tokens:
    """The tokenizer of a directory: ours as it was, others' under their own ids.

    Raises:
        UserError: where a file is missing or damaged, or no token is told to end a text.
    """
    raw = _read(directory / "tokenizer.json", needed=True)
    tokenizer = _library(directory / "tokenizer.json", raw)
    config, special, generation, model = (
        _object(directory / f"{name}.json")
        for name in ("tokenizer_config", "special_tokens_map", "generation_config", "config")
    )
    template = _template(directory, config)
    if template:
        chat_template.check(template, str(directory))
    if _is_ours(tokenizer, raw):
        return Tokens("text", "chat", bpe=raw, template=template, stop_ids=(END, EOS))

    def named(name: str) -> int | None:
        told = config.get(name) or special.get(name)
        found = told.get("content") if isinstance(told, dict) else told
        return tokenizer.token_to_id(found) if isinstance(found, str) else None

    ends = [i for i in (named("eos_token"), *_ids(generation), *_ids(model)) if i is not None]
    if not ends:
        raise UserError(f"{directory}: no token is told to end a text. Give eos_token in its tokenizer_config.json.")
    pad = named("pad_token")
    found = Tokens(
        "text", "imported", bpe=raw, template=template, pad_id=ends[0] if pad is None else pad,
        bos_id=named("bos_token"), eos_id=ends[0], stop_ids=tuple(dict.fromkeys(ends)),
    )  # fmt: skip
    last = end_of_answer(found) if template else None
    return found if last is None else replace(found, stop_ids=tuple(dict.fromkeys((last, *found.stop_ids))))


def _library_json(tokens: Tokens) -> str:
    """A vocabulary in the format of the ``tokenizers`` library, for programs that know nothing of ours."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    if tokens.tokenizer in ("chat", "imported") and not tokens.lower:
        return tokens.bpe
    if tokens.tokenizer == "words":
        raise UserError("a vocabulary of words can't be written for other programs; take characters, bpe or chat.")
    if tokens.bpe:
        out = Tokenizer.from_str(tokens.bpe)
    else:
        vocabulary = {token: i for i, token in enumerate((*SPECIAL, *tokens.tokens))}
        out = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[1]))
        out.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")
        out.decoder = decoders.Fuse()
        out.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    steps = [*([] if tokens.tokenizer in ("chat", "imported") else [normalizers.NFC()])]
    out.normalizer = normalizers.Sequence([*steps, *([normalizers.Lowercase()] if tokens.lower else [])])
    return str(out.to_str())


def _is_ours(tokenizer: Tokenizer, raw: str) -> bool:
    """Whether a tokenizer is one of ours for conversations."""
    marks = (*SPECIAL, *MARKS)
    return [tokenizer.id_to_token(i) for i in range(len(marks))] == list(marks) and pieces.cuts_as_chat(raw)


def _ids(config: dict[str, Any]) -> list[int]:
    told = config.get("eos_token_id")
    return [i for i in (told if isinstance(told, list) else [told]) if isinstance(i, int)]


def _template(directory: Path, config: dict[str, Any]) -> str:
    """The template of a file of its own, else that of the configuration; of several the one that is called default."""
    if found := _read(directory / "chat_template.jinja"):
        return found
    told = config.get("chat_template") or _object(directory / "chat_template.json").get("chat_template") or ""
    if isinstance(told, list):
        told = {one.get("name"): one.get("template") for one in told if isinstance(one, dict)}.get("default") or ""
    if not isinstance(told, str):
        raise UserError(f"{directory}: the chat template is no text. Mend chat_template in its tokenizer_config.json.")
    return told


def _library(path: Path, raw: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(raw)
    except Exception as error:  # the library raises nothing more special
        raise UserError(f"{path}: no tokenizer that can be read: {' '.join(str(error).split())[:200]}.") from None


def _object(path: Path) -> dict[str, Any]:
    raw = _read(path)
    try:
        found = json.loads(raw or "{}")
    except ValueError as error:
        raise UserError(f"{path}: damaged: {error}.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged: not an object of names and values.")
    return found


def _read(path: Path, *, needed: bool = False) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not needed:
            return ""
        raise UserError(f"{path.parent}: no tokenizer.json there. Name a directory that holds a tokenizer.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}.") from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
