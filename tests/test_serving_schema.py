"""The server held against its own OpenAPI document by schemathesis, and its checks against another validator."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_script import running

from gradus.serving.check import check
from gradus.serving.fields import chat_fields, completion_fields, embedding_fields
from gradus.serving.openapi import document
from gradus.serving.protocol_error import ProtocolError

MODEL = {"type": "string", "enum": ["tiny"]}
BODIES = {
    "chat": chat_fields(MODEL),
    "text": completion_fields(MODEL, 320),
    "embedding": embedding_fields(MODEL, 320, 32),
}
VALIDATORS: dict[str, Any] = {}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 400),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), 1.0, 0.5, 2.5, 1e300]),
    st.sampled_from(["", "x", "tiny", "user", "system", "text", "float", "base64", "auto", "7"]),
)


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_the_checks_are_those_of_json_schema(data: st.DataObject) -> None:
    """A body that one of the two takes, the other takes, be it nearly right or right."""
    reference = pytest.importorskip("jsonschema_rs", reason="jsonschema-rs (of schemathesis) isn't installed")
    name = data.draw(st.sampled_from(sorted(BODIES)))
    fields = BODIES[name]["properties"]
    body = {field: data.draw(near(fields[field])) for field in BODIES[name]["required"]}
    for field in data.draw(st.lists(st.sampled_from([*fields, "other"]), max_size=3)):
        body[field] = data.draw(near(fields.get(field, {})))
    try:
        check(body, BODIES[name])
        taken = True
    except ProtocolError:
        taken = False
    assert taken == VALIDATORS.setdefault(name, reference.Draft202012Validator(BODIES[name])).is_valid(body)


def near(field: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a field may well have, and others."""
    part = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["text", "image"]), "text": LEAVES, "x": LEAVES})
    content = st.text("ab", max_size=3) | st.lists(part, max_size=2) | LEAVES
    message = st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "robot"])}, optional={"content": content, "name": LEAVES}
    )
    inner = st.dictionaries(st.sampled_from(["type", "include_usage", "7", "x", ""]), LEAVES, max_size=2)
    arrays = [st.lists(items, max_size=5) for items in (st.integers(0, 330), st.text("ab"), LEAVES, message)]
    nested = st.lists(st.lists(st.integers(0, 330) | LEAVES, max_size=2), max_size=2)
    own = [st.sampled_from(field["enum"])] if "enum" in field else []
    return st.one_of(LEAVES, inner, nested, *arrays, *own)


def test_the_document_names_all_that_is_answered() -> None:
    described = document("tiny", 320, 32)
    assert described["openapi"] == "3.1.0"
    assert {path: "get" if "get" in found else "post" for path, found in described["paths"].items()} == {
        **dict.fromkeys(("/", "/health", "/metrics", "/openapi.json", "/v1/models", "/v1/models/{id}"), "get"),
        **dict.fromkeys(("/v1/chat/completions", "/v1/completions", "/v1/embeddings"), "post"),
    }
    text = json.dumps(described)
    for reference in {part.split('"')[0] for part in text.split('"#/')[1:]}:  # every reference leads somewhere
        place: Any = described
        for name in reference.split("/"):
            place = place[name]


@pytest.mark.parametrize(
    "phases",
    [
        ["fuzzing", "--max-examples", "15"],
        pytest.param(["coverage,fuzzing,stateful", "--max-examples", "80"], marks=pytest.mark.long),
    ],
    ids=["short", "long"],
)
def test_schemathesis_finds_nothing(phases: list[str], tmp_path: Path) -> None:
    """No 5xx, no status, content type or answer that the document doesn't name, nothing wrong that is taken.

    What it can't know is left out: fields that don't go together, and prompts that are longer than the model's places.
    """
    pytest.importorskip("schemathesis", reason="schemathesis isn't installed")
    command = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}")
    assert command is not None
    with running(writes="gpt", max_length=48) as (address, _):
        found = subprocess.run(
            [command, "run", f"{address}/openapi.json", "--checks", "all",
             "--exclude-checks", "positive_data_acceptance", "--seed", "1", "--no-color", "--phases", *phases],
            capture_output=True, text=True, timeout=280, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
