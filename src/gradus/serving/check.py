"""A value of JSON held against a schema: the part of JSON Schema that the tables of ``fields.py`` are written in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from gradus.errors import nearest
from gradus.serving.protocol_error import ProtocolError, wrong

Schema = Mapping[str, Any]
WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}
HALF = re.compile("[\ud800-\udfff]")
BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool], str]] = {  # of which type, what holds, how to say it
    "minimum": ("number", lambda value, bound: value >= bound, "at least {}"),
    "maximum": ("number", lambda value, bound: value <= bound, "at most {}"),
    "exclusiveMinimum": ("number", lambda value, bound: value > bound, "more than {}"),
    "minLength": ("string", lambda value, bound: len(value) >= bound, "a string of {} or more characters"),
    "minItems": ("array", lambda value, bound: len(value) >= bound, "an array of {} or more"),
    "maxItems": ("array", lambda value, bound: len(value) <= bound, "an array of {} at most"),
}


def parse(body: bytes) -> Any:
    """The JSON of a request's body.

    Raises:
        ProtocolError: 400 where it isn't JSON.
    """
    try:
        return json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise wrong("The body isn't JSON that can be read: it is nested too deeply.", code="invalid_json") from None
    except ValueError as error:
        raise wrong(f"The body isn't JSON: {error}.", code="invalid_json") from None


def check(value: Any, schema: Schema, where: str = "") -> None:
    """Hold a value against a schema. What is wrong is told with the schema's ``description``, if it has one.

    Args:
        where: the path of the value.

    Raises:
        ProtocolError: 400, for the first field that is wrong.
    """
    if "anyOf" in schema:
        fitting = [option for option in schema["anyOf"] if _is(value, option) and _begins(value, option)]
        if len(fitting) == 1:
            check(value, fitting[0], where)
        elif not any(_passes(value, option, where) for option in fitting):
            raise _unlike(_one_of(schema["anyOf"]), value, schema, where)
        return
    if not _is(value, schema):
        raise _unlike(_one_of([schema]), value, schema, where)
    if "enum" in schema and value not in schema["enum"]:
        raise _unlike(" or ".join(map(json.dumps, schema["enum"])), value, schema, where)
    for key, (kind, holds, words) in BOUNDS.items():
        if key in schema and _is(value, {"type": kind}) and not holds(value, schema[key]):
            raise _unlike(words.format(schema[key]), value, schema, where)
    if isinstance(value, str):
        _check_text(value, where)
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            check(item, schema["items"], f"{where}[{place}]")
    if isinstance(value, dict):
        _check_object(value, schema, where)


def _check_object(value: dict[str, Any], schema: Schema, where: str) -> None:
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    pattern = schema.get("propertyNames", {}).get("pattern", "")
    for name, child in value.items():
        _check_text(name, where)
        path = _path(where, name)
        if name in fields:
            check(child, fields[name], path)
        elif others is False:
            raise wrong(f"{path}: there is no such field.{nearest(name, fields)}", path, "unknown_parameter")
        elif not re.search(pattern, name):
            raise wrong(f"{where}: {json.dumps(name)} can't be a name in it. {schema.get('description', '')}", where)
        elif others is not True:
            check(child, others, path)
    for name in schema.get("required", ()):
        if name not in value:
            raise wrong(f"{_path(where, name)} is missing.", _path(where, name), "missing_required_parameter")


def _check_text(value: str, where: str) -> None:
    if not value.isascii() and HALF.search(value):
        raise wrong(f"{where or 'The body'} holds half of a surrogate pair, which is no character.", where or None)


def _is(value: Any, schema: Schema) -> bool:
    """Whether a value is of a schema's type."""
    kinds = _kinds(schema)
    match value:
        case None:
            return "null" in kinds
        case bool():
            return "boolean" in kinds
        case int():
            return "integer" in kinds or "number" in kinds
        case float():
            return "number" in kinds or ("integer" in kinds and value.is_integer())
        case str():
            return "string" in kinds
        case list():
            return "array" in kinds
    return "object" in kinds


def _begins(value: Any, schema: Schema) -> bool:
    """Whether the first item of an array is of the type that a schema's items have; True for what has none."""
    if not isinstance(value, list) or not value or "items" not in schema:
        return True
    return _is(value[0], schema["items"])


def _kinds(schema: Schema) -> list[str]:
    kinds: str | list[str] = schema.get("type", list(WORDS))
    return [kinds] if isinstance(kinds, str) else kinds


def _passes(value: Any, schema: Schema, where: str) -> bool:
    try:
        check(value, schema, where)
    except ProtocolError:
        return False
    return True


def _one_of(schemas: list[Schema]) -> str:
    """What values of these schemas are, in words."""
    return " or ".join(dict.fromkeys(WORDS[kind] for schema in schemas for kind in _kinds(schema)))


def _unlike(wanted: str, value: Any, schema: Schema, where: str) -> ProtocolError:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    message = f"{where or 'The body'} is {shown}, and should be {wanted}."
    if "description" in schema:
        message += f" {schema['description']}"
    return wrong(message.encode("utf-8", "replace").decode(), where or None, "invalid_value")


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number there")
