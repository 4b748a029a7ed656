"""JSON texts as values that can be compared: equal values are equal objects. PURE.

``structure`` reads answers with it, ``tools`` the arguments of calls; ``json_diff`` finds what differs, ``rules`` changes what is compared.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

import orjson

#: Longer texts are not read as JSON: parsed, a hostile one takes up to 25 times its size, on both sides. An answer of 250,000 tokens fits.
MAX_CHARACTERS = 1024 * 1024
#: Deeper JSON is broken JSON here: people's data has a dozen levels, and every reader has a limit (orjson writes 254 levels).
MAX_DEPTH = 200

#: Floats below are exact integers, and 64 bits hold them.
_INTEGRAL = 2.0**63


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON value; a value of None is JSON's ``null``. ``is_fenced``: it stood in a markdown code fence."""

    value: Any
    is_fenced: bool = False


def document(text: str) -> Document | None:
    """The JSON that ``text`` is, bare or inside one code fence; None where it is anything else, or beyond the limits above.

    Numbers that are equal become equal objects (1.0 is 1), strings and keys are in NFC. What JSON leaves open is read as orjson does:
    the last of two equal keys counts, integers beyond 64 bits lose digits.
    """
    inside = unfenced(text)
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        value = orjson.loads(text if inside is None else inside)
    except orjson.JSONDecodeError:
        return None
    return Document(_folded(value), inside is not None) if measured(value).depth <= MAX_DEPTH else None


def fault(text: str) -> str:
    """Why ``text`` is no JSON, in a few words; empty where it is."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        return str(exc)
    return ""


def unfenced(text: str) -> str | None:
    """What stands in the one fence (plain, or for ``json``) that encloses all of ``text``; None without one."""
    first, newline, rest = text.strip().partition("\n")
    if newline and first.startswith("```") and first[3:].strip().casefold() in ("", "json") and rest.endswith("```"):
        return rest[:-3]
    return None


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _INTEGRAL else value
    if isinstance(value, dict):
        return {_folded(key): _folded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_folded(each) for each in value]
    return value


@dataclass(frozen=True, slots=True)
class Measure:
    """How large a value is: ``nodes`` counts it and everything in it, ``depth`` its levels (a number has one)."""

    nodes: int
    depth: int


def measured(value: Any) -> Measure:
    """The size of ``value``, found level by level: no depth exhausts the stack."""
    level, nodes, depth = [value], 0, 0
    while level:
        nodes += len(level)
        depth += 1
        level = [each for outer in level for each in children(outer)]
    return Measure(nodes, depth)


def children(value: Any) -> list[Any]:
    """The values directly in an object or an array; nothing for anything else."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def leaves(value: Any) -> int:
    """Scalars and empty containers in ``value``: what a difference is a share of."""
    level, found = [value], 0
    while level:
        inner = [children(each) for each in level]
        found += inner.count([])
        level = [each for some in inner for each in some]
    return found


def canonical(value: Any) -> str:
    """One text for equal values of a :class:`Document`."""
    return _dumped(value, orjson.OPT_SORT_KEYS)


def written(value: Any) -> str:
    """A value of a :class:`Document` as JSON, for people."""
    return _dumped(value, 0)


def _dumped(value: Any, option: int) -> str:
    try:
        return orjson.dumps(value, option=option).decode()
    except orjson.JSONEncodeError:
        # Text that was no JSON, with half a character in it: escaped, it can be shown.
        return json.dumps(value, sort_keys=bool(option))


def type_name(value: Any) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "number"
