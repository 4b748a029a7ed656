"""Reads fields of Kubernetes objects that somebody else wrote, and says what to repair where they are not what they must be. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadowproxy.errors import RouterRefused


def section(document: object, *keys: str) -> Mapping[str, Any]:
    """The mapping below ``keys``; empty where it is absent or something else."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def sections(document: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """The list of mappings under ``key``; empty where it is absent or something else."""
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return ()
    return entries


def whole(value: object, where: str) -> int | None:
    """A weight: a whole number from 0, None where it is absent. Raises :class:`~shadowproxy.errors.RouterRefused` for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RouterRefused(f"{where} is {value!r}, no weight", "write a whole number from 0")
    return value
