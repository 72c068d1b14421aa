"""The server described by itself: an OpenAPI 3.1 document, with the schemas that requests are held against."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from gradus.serving.fields import (
    BOOLEAN,
    STRING,
    Schema,
    array,
    chat_fields,
    completion_fields,
    embedding_fields,
    optional,
)

REFUSALS = {
    "400": "The request is wrong: `message` says where and why.",
    "401": "The API key is missing or wrong.",
    "404": "There is no such model or path.",
    "405": "Not a method of this path.",
    "413": "The body is too long.",
    "415": "The body isn't sent as application/json.",
    "421": "The server was asked for by a name that isn't its own.",
    "429": "As many requests are waiting as may; `Retry-After` says when to try again.",
    "500": "The model or the server has failed.",
    "503": "The server is stopping.",
}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FINISH: Schema = {"type": ["string", "null"], "enum": ["stop", "length", None]}


def document(name: str, size: int, width: int) -> dict[str, Any]:
    """The document of a server whose model is called ``name``, and has ``size`` tokens and ``width`` features."""
    model = {"type": "string", "enum": [name], "description": "The model of this server, or left out."}
    of_chunks = "With `stream` as events: an object after each `data: `, and `data: [DONE]` last."
    paths = {
        "/": {"get": _page("The chat page.", "text/html")},
        "/health": {"get": _answered("Whether the server answers.", HEALTH)},
        "/metrics": {"get": _page("Counts for Prometheus.", "text/plain")},
        "/openapi.json": {"get": _answered("This document.", {"type": "object"})},
        "/v1/models": {"get": _answered("The models, of which there is one.", MODELS)},
        "/v1/models/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": model}],
            "get": _answered("The model.", _ref("Model")),
        },
        "/v1/chat/completions": {
            "post": _answered("The next answer of a chat.", _ref("ChatAnswer"), "ChatRequest", of_chunks)
        },
        "/v1/completions": {"post": _answered("Go on with texts.", _ref("TextAnswer"), "TextRequest", of_chunks)},
        "/v1/embeddings": {"post": _answered("Texts as vectors of length 1.", EMBEDDINGS, "EmbeddingRequest")},
    }
    requests = {
        "ChatRequest": chat_fields(model),
        "TextRequest": completion_fields(model, size),
        "EmbeddingRequest": embedding_fields(model, size, width),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Gradus: {name}", "version": version("gradus"), "description": "The OpenAI protocol."},
        "paths": paths,
        "components": {
            "schemas": {**requests, **ANSWERS},
            "responses": {status: _json(words, _ref("Error")) for status, words in REFUSALS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _answered(summary: str, answer: Schema, request: str = "", chunks: str = "") -> Schema:
    """An operation that answers with JSON, and with events where there are chunks."""
    good = _json(summary, answer)
    if chunks:
        good["description"] += f" {chunks}"
        good["content"]["text/event-stream"] = {}  # 3.1 has no schema for the single events
    out: Schema = {"summary": summary, "responses": {"200": good, **_refusals()}}
    if request:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(request)}}}
    return out


def _page(summary: str, kind: str) -> Schema:
    good = {"description": summary, "content": {kind: {"schema": STRING}}}
    return {"summary": summary, "responses": {"200": good, **_refusals()}}


def _refusals() -> Schema:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in REFUSALS}


def _json(words: str, schema: Schema) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _all(fields: dict[str, Schema], *maybe: str) -> Schema:
    """An object that has all of these fields but those that are named last, which it may have."""
    return {"type": "object", "properties": fields, "required": [name for name in fields if name not in maybe]}


HEALTH = _all({"status": STRING, "model": STRING, "running": COUNT, "waiting": COUNT})
MODELS = _all({"object": STRING, "data": array(_ref("Model"))})
USAGE = _all({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}, "completion_tokens")
EMBEDDING = _all({"object": STRING, "index": COUNT, "embedding": {"anyOf": [array(NUMBER), {"type": "string"}]}})
EMBEDDINGS = _all({"object": STRING, "model": STRING, "data": array(EMBEDDING), "usage": USAGE})
NAMED = {"token": STRING, "logprob": NUMBER, "bytes": array(COUNT)}
CITATION = _all({"file": STRING, "place": STRING, "text": STRING})
HEAD = {"id": STRING, "object": STRING, "created": COUNT, "model": STRING}
MESSAGE = _all(
    {"role": STRING, "content": STRING, "refusal": {"type": "null"}, "citations": array(CITATION)}, "citations"
)
CHAT_LOGPROBS = _all(
    {"content": array(_all({**NAMED, "top_logprobs": array(_all(NAMED))})), "refusal": {"type": "null"}}
)
TEXT_LOGPROBS = _all(
    {
        "tokens": array(STRING),
        "token_logprobs": array(optional(NUMBER)),
        "top_logprobs": array(optional({"type": "object", "additionalProperties": NUMBER})),
        "text_offset": array(COUNT),
    }
)
CHAT_CHOICE = _all({"index": COUNT, "message": MESSAGE, "logprobs": optional(CHAT_LOGPROBS), "finish_reason": FINISH})
TEXT_CHOICE = _all({"index": COUNT, "text": STRING, "logprobs": optional(TEXT_LOGPROBS), "finish_reason": FINISH})
ANSWERS: dict[str, Schema] = {
    "Error": _all(
        {"error": _all({"message": STRING, "type": STRING, "param": optional(STRING), "code": optional(STRING)})}
    ),
    "Model": _all(
        {
            "id": STRING,
            "object": STRING,
            "created": COUNT,
            "owned_by": STRING,
            "max_model_len": {"type": "integer", "description": "Places for tokens of prompt and answer together."},
            "chat": {**BOOLEAN, "description": "Whether it has a chat template."},
            "documents": {**BOOLEAN, "description": "Whether answers are grounded on documents."},
        }
    ),
    "ChatAnswer": _all({**HEAD, "choices": array(CHAT_CHOICE), "usage": USAGE}),
    "TextAnswer": _all({**HEAD, "choices": array(TEXT_CHOICE), "usage": USAGE}),
}
