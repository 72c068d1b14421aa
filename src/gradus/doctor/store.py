"""Signals as JSON and back, so that a run that was cut off, or finished long ago, can still be examined."""

from __future__ import annotations

import types
import typing
from collections import Counter
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin

from gradus.doctor import signals


def to_json(value: Any) -> Any:
    """Plain values of signals: sets and pairs as lists, counters as lists of pairs."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return [[to_json(k), to_json(v)] for k, v in value.items()]
    if isinstance(value, list | tuple | set):
        return [to_json(v) for v in value]
    return value


def from_json(kind: Any, value: Any) -> Any:
    """What ``to_json`` wrote, as values of a kind."""
    origin: Any = get_origin(kind) or kind
    inner = get_args(kind)
    if origin in (types.UnionType, typing.Union):
        kinds = [k for k in inner if k is not type(None)]
        return None if value is None else from_json(kinds[0], value)
    if is_dataclass(origin):
        made: Any = origin
        hints = _hints(made)
        return made(**{key: from_json(hints[key], given) for key, given in value.items() if key in hints})
    if origin in (dict, Counter):
        keys, values = (inner[0], int) if origin is Counter else inner
        return origin({from_json(keys, k): from_json(values, v) for k, v in value})
    if origin is tuple:
        each = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is ... else list(inner)
        return tuple(from_json(k, v) for k, v in zip(each, value, strict=True))
    if origin in (list, set):
        return origin(from_json(inner[0], v) for v in value)
    if origin is float and value is not None:
        return float(value)
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(signals))
