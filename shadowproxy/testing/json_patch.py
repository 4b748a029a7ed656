"""Applies JSON Patch (RFC 6902), for the API server that stands in for Kubernetes. Written apart from what makes patches, to test it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any


class PatchFails(Exception):
    """An operation cannot be applied, or a test does not hold; nothing was changed."""


def patched(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """A copy with every operation applied: ``test``, ``add``, ``replace``, ``remove``. Raises :class:`PatchFails`."""
    holder = {"": copy.deepcopy(document)}
    for operation in operations:
        _apply(holder, operation)
    return holder[""]


def _apply(holder: dict[str, Any], operation: Mapping[str, Any]) -> None:
    *way, last = ["", *(part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])]
    target: Any = holder
    for part in way:
        target = _below(target, part, operation)
    match operation["op"]:
        case "test":
            if _below(target, last, operation) != operation["value"]:
                raise PatchFails(f"testing value {operation['path']} failed")
        case "add" if isinstance(target, list):
            target.insert(len(target) if last == "-" else _index(target, last, operation, end=len(target)), operation["value"])
        case "add" if isinstance(target, dict):
            target[last] = operation["value"]
        case "replace":
            _below(target, last, operation)
            target[_index(target, last, operation) if isinstance(target, list) else last] = operation["value"]
        case "remove":
            _below(target, last, operation)
            del target[_index(target, last, operation) if isinstance(target, list) else last]
        case name:
            raise PatchFails(f"cannot {name} at {operation['path']}")


def _below(target: Any, part: str, operation: Mapping[str, Any]) -> Any:
    if isinstance(target, dict) and part in target:
        return target[part]
    if isinstance(target, list):
        return target[_index(target, part, operation)]
    raise PatchFails(f"{operation['op']} operation does not apply: doc is missing path: {operation['path']}")


def _index(target: list[Any], part: str, operation: Mapping[str, Any], end: int = -1) -> int:
    last = len(target) - 1 if end < 0 else end
    if not (part.isascii() and part.isdigit()) or int(part) > last:
        raise PatchFails(f"{operation['op']} operation does not apply: no index {part} in {operation['path']}")
    return int(part)
