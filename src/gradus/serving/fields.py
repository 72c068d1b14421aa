"""What a request may hold, as JSON Schema: what ``check`` holds requests against, and ``openapi.py`` publishes.

Every optional field may also be null, which says the same as leaving it out. A field of the protocol that changes
nothing here is taken and not read; one that would change the answer and can't is null or refused, with the reason.
"""

from __future__ import annotations

from typing import Any

from gradus.language.sampling import Sampling

Schema = dict[str, Any]
ROLES = ("system", "developer", "user", "assistant")
MOST_CHOICES = 128  # answers to one request
MOST_ALTERNATIVES = 20  # to a token
MOST_INPUTS = 2048  # texts in one request for embeddings
LEGACY_MAX_TOKENS = 16  # of /v1/completions, where the request has none
DEFAULTS = Sampling()


def optional(schema: Schema, **more: Any) -> Schema:
    """The same, or null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}], **more}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    null = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **null, **more}


def number(least: float, most: float, **more: Any) -> Schema:
    return {"type": "number", "minimum": least, "maximum": most, **more}


def whole(least: int, most: int | None = None, **more: Any) -> Schema:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most}), **more}


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def record(fields: dict[str, Schema], required: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object of these fields and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": fields, **needed, "additionalProperties": False, **more}


def only(*words: Any, why: str) -> Schema:
    """A field of the protocol of which this server takes but these values."""
    kinds = {str: "string", bool: "boolean", int: "integer"}
    return {"type": [*sorted({kinds[type(w)] for w in words}), "null"], "enum": [*words, None], "description": why}


STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
ANYTHING: Schema = {"description": "Taken and not read."}
TEXT_ONLY = "This server reads and writes text."
NO_TOOLS = "This server's models call no tools."
TEXT_PART = record(
    {"type": {"type": "string", "enum": ["text"], "description": TEXT_ONLY}, "text": STRING}, ("type", "text")
)
MESSAGE = record(
    {
        "role": {"type": "string", "enum": list(ROLES), "description": "developer is another word for system."},
        "content": {"anyOf": [STRING, array(TEXT_PART, minItems=1)], "description": TEXT_ONLY},
        "name": optional(STRING, description="Taken and not read."),
        "refusal": {"type": "null"},
        "tool_calls": optional(array({}), maxItems=0, description=NO_TOOLS),
        "citations": ANYTHING,
        "annotations": ANYTHING,
        "audio": {"type": "null"},
        "function_call": {"type": "null"},
    },
    ("role", "content"),
)

SAMPLING: dict[str, Schema] = {
    "temperature": optional(
        number(0, 2), default=DEFAULTS.temperature, description="0 takes the likeliest token each time."
    ),
    "top_p": optional(
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, description="A share above 0; 1 leaves every token in."
    ),
    "top_k": optional(whole(1), description="Draw among the so many likeliest tokens."),
    "min_p": optional(number(0, 1), description="Draw among tokens at least so many times as likely as the likeliest."),
    "repetition_penalty": optional(number(0.1, 10), description="Of tokens that were there; 1 is none."),
    "presence_penalty": optional(number(-2, 2)),
    "frequency_penalty": optional(number(-2, 2)),
    "logit_bias": optional(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,9}$"},
            "additionalProperties": number(-100, 100),
            "description": "From the number of a token to what is added to its logit.",
        }
    ),
    "seed": optional(whole(-(2**63), 2**63 - 1), description="The same seed gives the same answer."),
    "stop": optional(
        {"anyOf": [{"type": "string", "minLength": 1}, array({"type": "string", "minLength": 1}, maxItems=4)]},
        description="Up to four texts that end the answer; they are not part of it.",
    ),
}
STREAM: dict[str, Schema] = {
    "stream": optional(BOOLEAN, default=False),
    "stream_options": optional(
        record({"include_usage": optional(BOOLEAN), "include_obfuscation": only(False, why="Chunks aren't padded.")})
    ),
    "n": optional(whole(1, MOST_CHOICES), default=1),
}
NOT_READ: dict[str, Schema] = dict.fromkeys(
    ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"), ANYTHING
)


def chat_fields(model: Schema) -> Schema:
    """The body of a request for a chat's next answer; ``model`` is the schema of a model's name."""
    no_max = "The most tokens of the answer; it also ends where the model has no more places."
    return record(
        {
            "model": optional(model),
            "messages": array(MESSAGE, minItems=1),
            "max_tokens": optional(whole(1), description=no_max),
            "max_completion_tokens": optional(whole(1), description=no_max),
            "logprobs": optional(BOOLEAN),
            "top_logprobs": optional(whole(0, MOST_ALTERNATIVES), description="It needs logprobs: true."),
            **SAMPLING,
            **STREAM,
            "response_format": optional(
                record({"type": {"type": "string", "enum": ["text"], "description": TEXT_ONLY}}, ("type",))
            ),
            "modalities": optional(array({"type": "string", "enum": ["text"]}), description=TEXT_ONLY),
            "tools": optional(array({}), maxItems=0, description=NO_TOOLS),
            "functions": optional(array({}), maxItems=0, description=NO_TOOLS),
            "tool_choice": only("none", "auto", why=NO_TOOLS),
            "function_call": only("none", "auto", why=NO_TOOLS),
            "parallel_tool_calls": ANYTHING,
            "reasoning_effort": ANYTHING,
            "verbosity": ANYTHING,
            **NOT_READ,
        },
        ("messages",),
    )


def completion_fields(model: Schema, size: int) -> Schema:
    """The body of a request to go on with a text; the vocabulary has ``size`` ids."""
    ids = array(whole(0, size - 1))
    text_or_ids = {"anyOf": [STRING, array(STRING, minItems=1), ids, array(ids, minItems=1)]}
    return record(
        {
            "model": optional(model),
            "prompt": {**text_or_ids, "description": "A text, some texts, the ids of one, or those of some."},
            "max_tokens": optional(whole(0), default=LEGACY_MAX_TOKENS),
            "logprobs": optional(whole(0, MOST_ALTERNATIVES)),
            "echo": optional(BOOLEAN, default=False),
            "suffix": {"type": "null", "description": "This server's models write on, and fill no gaps."},
            "best_of": only(1, why="Ask for n answers and choose among them."),
            **SAMPLING,
            **STREAM,
            **NOT_READ,
        },
        ("prompt",),
    )


def embedding_fields(model: Schema, size: int, width: int) -> Schema:
    """The body of a request for the features of texts, of which the model has ``width``."""
    ids = array(whole(0, size - 1), minItems=1)
    some = {"minItems": 1, "maxItems": MOST_INPUTS}
    return record(
        {
            "model": optional(model),
            "input": {
                "anyOf": [STRING, array(STRING, **some), ids, array(ids, **some)],
                "description": "A text, some texts, the ids of one, or those of some.",
            },
            "encoding_format": optional({"type": "string", "enum": ["float", "base64"]}, default="float"),
            "dimensions": only(width, why=f"This model's embeddings have {width} numbers, and can't be cut."),
            **NOT_READ,
        },
        ("input",),
    )
