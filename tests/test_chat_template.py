"""Conversations as tokens: what transformers makes of them, which tokens are learnt, and contents that spell marks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gradus.data import chat as chats
from gradus.data.bpe import CHAT_CUT
from gradus.data.chat import check_messages, encode_chat
from gradus.data.tokens import ASSISTANT, END, EOS, USER, Tokens
from gradus.errors import UserError

SAID = "You are kind. 你是谁？ I am 42!\n\n  def f(x):\n    return 'self'\n <|im_end|> </s> think"
CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}\n"
    "{% for message in messages %}\n"
    "    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (  # begins with a mark, trims
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
THINKING = (  # as Qwen3's: thoughts of earlier answers are left out, the last answer has room for some
    "{%- for m in messages %}{%- set c = m.content %}{%- if m.role == 'assistant' and '</think>' in c %}"
    "{%- set c = c.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{{- c + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
PLAIN = (  # without any mark
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
ROLES = st.sampled_from(["user", "assistant"])
CONTENT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12), st.text(alphabet=SAID + "\t，(;", max_size=20)
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": CONTENT}), min_size=1, max_size=5)
SPELLED = st.lists(
    st.sampled_from(["<|end|>", "<|im_end|>", "<|im_start|>", "<eos>", "<|", "|>", "<", ">", "im_end", "a", " ", "\n"]),
    max_size=8,
).map("".join)  # fmt: skip
ATTACKS = st.lists(st.fixed_dictionaries({"role": ROLES, "content": SPELLED}), min_size=1, max_size=4)
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def ours() -> Tokens:
    return Tokens.fit("text", [SAID * 20], "chat", size=400)


Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A directory as transformers writes one: a small byte-level BPE with marks and a template of its own."""

    def made(template: str = "", marks: tuple[str, ...] = ("<|im_start|>", "<|im_end|>"), **special: str) -> Path:
        transformers = pytest.importorskip("transformers")
        raw = Tokenizer(models.BPE())
        raw.normalizer = normalizers.NFC()
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(CHAT_CUT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
        raw.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        raw.train_from_iterator([SAID] * 20, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
        raw.add_special_tokens([special.get("eos_token", "<|endoftext|>"), *marks])
        special = {"eos_token": "<|endoftext|>", **special}
        wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special)
        wrapped.add_tokens(["<think>", "</think>"])  # of the vocabulary, but not special
        if template:
            wrapped.chat_template = template
        where = tmp_path_factory.mktemp("tokenizer")
        wrapped.save_pretrained(where)
        return where

    return made


def theirs(where: Path) -> Any:
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(where)


def by_theirs(tokenizer: Any, messages: list[dict[str, str]], *, answer: bool = False) -> list[int]:
    return tokenizer.apply_chat_template(messages, add_generation_prompt=answer, tokenize=True, return_dict=False)


def runs(ids: list[int], learn: list[bool]) -> list[list[int]]:
    """The ids of each stretch that is learnt."""
    pairs = itertools.groupby(zip(ids, learn, strict=True), key=lambda pair: pair[1])
    return [[i for i, _ in group] for learnt, group in pairs if learnt]


# what transformers makes of them


def test_ours_is_what_transformers_makes_of_the_saved_files(ours: Tokens, tmp_path: Path) -> None:
    ours.save_hf(tmp_path)
    tokenizer = theirs(tmp_path)

    @given(MESSAGES, st.booleans())
    @many
    def same(messages: list[dict[str, str]], answer: bool) -> None:
        expected = by_theirs(tokenizer, messages, answer=answer)
        if not any(mark in m["content"] for m in messages for mark in ours.specials):
            assert encode_chat(ours, messages, answer=answer)[0] == expected

    same()
    assert tokenizer.eos_token_id == EOS
    assert tokenizer.decode(ours.encode_text(SAID)) == SAID


@pytest.mark.parametrize(
    ("template", "special", "marks"),
    [
        (CHATML, {}, ("<|im_start|>", "<|im_end|>")),
        (LLAMA3, {"bos_token": "<|begin|>"}, ("<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
        (THINKING, {}, ("<|im_start|>", "<|im_end|>")),
    ],
)
def test_an_imported_template_gives_what_transformers_makes_of_it(
    make: Make, template: str, special: dict[str, str], marks: tuple[str, ...]
) -> None:
    where = make(template, marks, **special)
    tokens, tokenizer = Tokens.load_hf(where), theirs(where)
    end = tokens.specials[marks[-1]]
    assert tokens.stop_ids == (end, tokens.eos_id)

    @given(MESSAGES, st.booleans())
    @many
    def same(messages: list[dict[str, str]], answer: bool) -> None:
        for message in messages:  # an answer is cut into tokens apart: a line's end before it doesn't join its own
            message["content"] = message["content"].replace(marks[-1], "")
            if message["role"] == "assistant":
                message["content"] = message["content"].lstrip()
        ids, learn = encode_chat(tokens, messages, answer=answer)
        assert ids == by_theirs(tokenizer, messages, answer=answer)
        assert all(run[-1] == end for run in runs(ids, learn))
        assert len(runs(ids, learn)) == sum(message["role"] == "assistant" for message in messages)

    same()


def test_plain_texts_of_an_imported_vocabulary_are_what_transformers_makes_of_them(make: Make) -> None:
    where = make()
    tokens, tokenizer = Tokens.load_hf(where), theirs(where)
    assert not tokens.has_chat
    for text in (SAID.replace("<|im_end|>", ""), "e\u0301", "日本 <think>", " a\n\n\n b", ""):
        expected = tokenizer.encode(text, add_special_tokens=False)
        assert tokens.encode_text(text) == expected
        assert tokens.decode(expected) == tokenizer.decode(expected)
    with pytest.raises(UserError, match="no chat template"):
        encode_chat(tokens, [{"role": "user", "content": "hi"}])


# no content makes a mark


@given(ATTACKS, st.booleans())
@many
def test_no_content_ever_makes_a_mark(ours: Tokens, messages: list[dict[str, str]], answer: bool) -> None:
    ids, _ = encode_chat(ours, messages, answer=answer)
    marks = [i for i in ids if i in ours.specials.values()]
    roles = [{"user": USER, "assistant": ASSISTANT}[m["role"]] for m in messages]
    assert marks == [mark for role in roles for mark in (role, END)] + [ASSISTANT] * answer
    ends = [-1, *(place for place, i in enumerate(ids) if i == END)]
    for (before, after), message in zip(itertools.pairwise(ends), messages, strict=True):
        assert ours.decode(ids[before + 2 : after]) == message["content"]


@pytest.mark.parametrize("template", [CHATML, THINKING, PLAIN])
def test_no_content_ever_makes_a_mark_of_an_imported_one(make: Make, template: str) -> None:
    tokens = Tokens.load_hf(make(template))
    frames = [{"role": "user", "content": "a"}]
    quiet = sum(i in tokens.specials.values() for i in encode_chat(tokens, frames * 2)[0])
    assert quiet == {CHATML: 6, THINKING: 4, PLAIN: 0}[template]

    @given(SPELLED, SPELLED)
    @many
    def none(first: str, second: str) -> None:
        messages = [{"role": "user", "content": content} for content in (first, second)]
        ids, _ = encode_chat(tokens, messages)
        assert sum(i in tokens.specials.values() for i in ids) == quiet
        for content in (first, second):
            assert content in tokens.decode(ids)

    none()


# what is learnt


@given(MESSAGES)
@many
def test_answers_and_their_ends_are_learnt_and_a_beginning_stays_as_it_is(
    ours: Tokens, messages: list[dict[str, str]]
) -> None:
    ids, learn = encode_chat(ours, messages)
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    learnt = [i for i, told in zip(ids, learn, strict=True) if told]
    ends = [place for place, i in enumerate(learnt) if i == END]
    parts = [learnt[a + 1 : b] for a, b in itertools.pairwise([-1, *ends])]
    assert [ours.decode(part) for part in parts] == answers
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            asked, none = encode_chat(ours, messages[:number], answer=True) if number else ([ASSISTANT], [False])
            assert ids[: len(asked)] == asked
            assert not any(none[-1:])


def test_what_a_template_leaves_to_be_written_is_learnt_and_what_it_rewrites_is_found(make: Make) -> None:
    tokens = Tokens.load_hf(make(THINKING))
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<think>\nwell\n</think>\n\nuno"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "dos"},
    ]
    told = [tokens.decode(run) for run in runs(*encode_chat(tokens, messages))]
    assert told == ["uno", "<think>\n\n</think>\n\ndos"]
    plain = Tokens.load_hf(make(PLAIN))
    ids, learn = encode_chat(plain, messages)
    assert [plain.decode(run) for run in runs(ids, learn)] == [messages[1]["content"], "dos"]
    assert plain.decode(ids).endswith("user: two\nassistant: dos\n")


def test_answers_that_are_not_found_are_told_once_and_not_learnt(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    chats._tell_not_found.cache_clear()
    tokens = Tokens.load_hf(make("{% for m in messages %}{{ m.content | upper | reverse }}<|im_end|>{% endfor %}"))
    messages = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd"}]
    for _ in range(3):
        ids, learn = encode_chat(tokens, messages)
        assert tokens.decode(ids) == "BADC"
        assert [tokens.decode(run) for run in runs(ids, learn)] == ["DC"]
    broken = "{% if messages | length > 1 %}{{ messages[0].content[::-1] ~ messages[1].content[::-1] }}{% endif %}"
    tokens = Tokens.load_hf(make(broken + "{{ messages | length }}"))
    chats._tell_not_found.cache_clear()
    for _ in range(3):
        ids, learn = encode_chat(tokens, messages[1:])
        assert (tokens.decode(ids), any(learn)) == ("1", False)
    assert capsys.readouterr().err.count("they are not learnt") == 1


# what comes from files and requests


def test_messages_come_back_as_role_and_content() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": parts, "name": "me"}, {"role": "assistant", "content": "\ud800", "id": 3}]
    assert check_messages(messages, "x") == [
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "\ufffd"},
    ]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ([], "f.jsonl, line 3: no messages. Give at least one."),
        ("hi", "f.jsonl, line 3: messages must be a list"),
        (["hi"], "f.jsonl, line 3, message 1: not a message such as"),
        ([{"content": "hi"}], "f.jsonl, line 3, message 1: not a message such as"),
        (
            [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],
            "message 2: the role 'tool' isn't known",
        ),
        ([{"role": ["user"], "content": "a"}], r"the role \['user'\] isn't known"),
        ([{"role": "user", "content": None}], "the content must be text, not NoneType"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "the content must be text, not list"),
    ],
)
def test_messages_that_are_none_are_one_line(value: Any, line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        check_messages(value, "f.jsonl, line 3")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{ raise_exception('roles must\nalternate') }}", "refuses these messages: roles must alternate"),
        ("{{ messages[7].content.no.more }}", "refuses these messages"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses these messages: .*unsafe"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "refuses these messages"),
        ("{{ messages.append(1) }}", "refuses these messages"),
        ("{{ 1 / 0 }}", "refuses these messages"),
    ],
)
def test_a_template_that_refuses_is_one_line(make: Make, template: str, line: str) -> None:
    tokens = Tokens.load_hf(make(template))
    with pytest.raises(UserError, match=line) as error:
        encode_chat(tokens, [{"role": "user", "content": "hi"}])
    assert "\n" not in str(error.value)


def test_a_template_may_be_a_file_of_its_own_and_one_that_cant_be_read_is_told(make: Make) -> None:
    where = make(CHATML)
    config = json.loads((where / "tokenizer_config.json").read_text())
    (where / "chat_template.jinja").unlink(missing_ok=True)
    for told in (PLAIN, [{"name": "tools", "template": "no"}, {"name": "default", "template": PLAIN}]):
        (where / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": told}))
        assert Tokens.load_hf(where).template == PLAIN
    (where / "chat_template.jinja").write_text(CHATML)
    assert Tokens.load_hf(where).template == CHATML
    (where / "chat_template.jinja").write_text("{% for m in messages %}\n{{ m.content }")
    with pytest.raises(UserError, match=r"the chat template can't be read, line 2: .*'}'") as error:
        Tokens.load_hf(where)
    assert "\n" not in str(error.value)
