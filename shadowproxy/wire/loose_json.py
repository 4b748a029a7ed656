"""JSON that nobody promised a shape for: parse it, pick from it by type, never raise. PURE.

Every string picked here is valid Unicode, so whatever takes an answer further can encode it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

#: How many unknown names an answer keeps, and how long each may be: enough to see what is new, too little to fill a record.
MAX_UNKNOWN_NAMES = 20
MAX_NAME_CHARS = 80

Object = Mapping[str, Any]
_EMPTY: Object = {}


def parsed(data: bytes | str) -> Any:
    """The JSON value, or None where there is none (a JSON ``null`` says as little)."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parsed_leniently(data)


def _parsed_leniently(data: bytes | str) -> Any:
    """Take what the usual clients take and the standard refuses: NaN, and one half of a surrogate pair when a server cuts an emoji."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def canonical(value: Any) -> str | None:
    """One text for equal values: keys sorted, no blanks. None where the value is too deep, or is not JSON in the strict sense."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:
        return None


def mended(text: str) -> str:
    """``text`` with halves of surrogate pairs joined, and lone ones replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def an_object(value: Any) -> Object:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def a_list(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def a_text(value: Any) -> str:
    """``value`` if it is a string, else an empty one. May end in half a character: for pieces that are joined and mended later."""
    return value if isinstance(value, str) else ""


def a_count(value: Any) -> int | None:
    """``value`` if it is a whole number of something (within 64 bits, so that it can be encoded again), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def a_number(value: Any) -> float | None:
    """``value`` if it is a number that a float holds, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def a_label(value: Any) -> str:
    """A string or a number as text: servers disagree whether codes are numbers. Empty for anything else."""
    if isinstance(value, bool):
        return ""
    return mended(str(value)) if isinstance(value, str | int | float) else ""


class UnknownNames:
    """The first few distinct names of fields and events that nobody here knows."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        if len(self._names) < MAX_UNKNOWN_NAMES:
            self._names.setdefault(mended(name[:MAX_NAME_CHARS]))

    def add_fields(self, found: Object, known: frozenset[str], where: str = "") -> None:
        """Note the fields of ``found`` that are not ``known``, as ``where`` followed by the field's name."""
        for name in found:
            if name not in known:
                self.add(where + name)

    def as_tuple(self) -> tuple[str, ...]:
        return tuple(self._names)
