"""What an exception tells: the person's own line, the tensors that stood on it, the module that was being called."""

from __future__ import annotations

import ast
import contextlib
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from gradus.doctor import places
from gradus.doctor.signals import Error, TensorSeen

MOST = 8  # tensors that are told


def error_of(error: BaseException) -> Error:
    """An exception as it is kept."""
    frames: list[tuple[FrameType, int]] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    own = [(frame, line) for frame, line in frames if places.is_own(frame.f_code.co_filename)]
    found = Error(type(error).__name__, str(error))
    found.frames = [places.place_of(frame, line) for frame, line in own]
    found.calls = [frame.f_code.co_name for frame, _ in frames]
    found.in_worker = "in DataLoader worker process" in str(error)
    if own:
        frame, line = own[-1]
        found.place = places.place_of(frame, line)
        found.tensors = tensors_on(frame, found.place.source)
    inner = frames[-1][0] if frames else None
    if inner is not None and inner.f_globals.get("__name__", "").startswith("torch."):
        given = {name: value for name, value in inner.f_locals.items() if isinstance(value, Tensor)}
        found.given = [_told(name, value) for name, value in given.items()][:MOST]
    _module(found, frames)
    return found


def _module(found: Error, frames: list[tuple[FrameType, int]]) -> None:
    """The innermost module that was being called, and its name in the outermost one."""
    modules: list[nn.Module] = []
    for frame, _ in frames:
        me = frame.f_locals.get("self")
        if isinstance(me, nn.Module) and (not modules or modules[-1] is not me):
            modules.append(me)
    modules = [m for m in modules if "_modules" in m.__dict__]
    if not modules:
        return
    inner, outer = modules[-1], modules[0]
    found.module_kind = type(inner).__name__
    found.module_says = " ".join(repr(inner).split())[:200]
    found.module = next((name for name, module in outer.named_modules() if module is inner), "")
    for name, weight in inner.named_parameters(recurse=False):
        if len(found.tensors) < MOST:
            found.tensors.append(_told(f"{found.module or found.module_kind}.{name}", weight))


def tensors_on(frame: FrameType, source: str) -> list[TensorSeen]:
    """The tensors that the names and attributes on a line stand for, by their names; nothing on it is called."""
    scope = {**frame.f_globals, **frame.f_locals}
    found: dict[str, TensorSeen] = {}
    for node in _expressions(source):
        for name, value in _held(node, scope):
            if len(found) < MOST:
                found[name] = _told(name, value)
    return list(found.values())


def _held(node: ast.AST, scope: dict[str, Any]) -> list[tuple[str, Tensor]]:
    """The tensor that an expression stands for; of one that stands for none, as a method, those that it is made of."""
    value = _value(node, scope)
    if isinstance(value, Tensor):
        return [(ast.unparse(node), value)]
    inner = [node.value] if isinstance(node, ast.Attribute) else []
    if isinstance(node, ast.Subscript):
        inner = [node.value, node.slice]
    return [pair for part in inner for pair in _held(part, scope)]


def _value(node: ast.AST, scope: dict[str, Any]) -> Any:
    """What a name, a stored attribute or a tensor's part stands for; None where more would have to be computed."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        return _attribute(_value(node.value, scope), node.attr)
    if isinstance(node, ast.Subscript):
        whole, part = _value(node.value, scope), _value(node.slice, scope)
        if isinstance(whole, Tensor) and isinstance(part, Tensor | int | slice) and whole.device.type != "meta":
            with torch.no_grad(), contextlib.suppress(IndexError, RuntimeError, TypeError):  # it may be what failed
                return whole[part]
    return None


def _attribute(value: Any, name: str) -> Any:
    """An attribute that is stored, not computed."""
    for place in ("__dict__", "_parameters", "_buffers", "_modules"):
        store = getattr(value, place, None) if value is not None else None
        if isinstance(store, dict) and name in store:
            return store[name]
    return getattr(value, name, None) if isinstance(value, Tensor) and name in ("grad", "T") else None


def _expressions(source: str) -> list[ast.AST]:
    """The names, attributes and parts that stand on a line, the outermost of each."""
    text = source.strip()
    tree: ast.AST | None = None
    for candidate in (text, text.rstrip(":") + ": pass", f"({text})", text.removeprefix("return "), f"{text})"):
        try:
            tree = ast.parse(candidate.strip())
            break
        except SyntaxError:
            continue
    if tree is None:
        return []
    found: dict[str, ast.AST] = {}
    inner: set[ast.AST] = set()  # names within a part that is told already
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and node not in inner:
            found[ast.unparse(node)] = node
            if isinstance(node, ast.Attribute | ast.Subscript):
                inner.update(ast.walk(node))
    return list(found.values())


def _told(name: str, tensor: Tensor) -> TensorSeen:
    low = high = None
    if not tensor.is_floating_point() and tensor.numel() and tensor.device.type != "meta" and not tensor.is_complex():
        with torch.no_grad():
            low, high = (float(v) for v in torch.aminmax(tensor.to(torch.int64)))
    return TensorSeen(name, tuple(tensor.shape), str(tensor.dtype)[6:], str(tensor.device), low, high)
