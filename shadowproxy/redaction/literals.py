"""Redaction of text that may be JSON, whole or cut off, as a list of edits. PURE.

What is not edited stays as it was, byte for byte: numbers, key order and white space of a body that is replayed later must not change.
String literals with escapes are decoded first: an escape must not hide an address, and the ``n`` of a line break must not become its first
letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from shadowproxy.redaction.searches import PATTERNS, Finder, Search

#: (kind, value) → what stands in its place.
Substitute = Callable[[str, str], str]


class Edit(NamedTuple):
    """``text[start:end]`` gives way to ``put``."""

    start: int
    end: int
    put: str


#: A string literal; its closing quote is missing where the text was cut off.
_LITERAL = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)

#: JSON within JSON within JSON … Deeper than this it is taken as plain text.
_MAX_DEPTH = 8


def redacted(text: str, substitute: Substitute) -> str:
    """The text with what the patterns find replaced."""
    return applied(text, edits_of(text, substitute))


def edits_of(text: str, substitute: Substitute, search: Search = PATTERNS, given: Sequence[Edit] = ()) -> list[Edit]:
    """The edits, in order and without overlap. What is ``given`` is among them and is not searched."""
    rest = _blanked(text, given) if given else text
    if not _has_literals(text, search):
        return sorted([*given, *_found(rest, substitute, search.find)])
    finder = search.find if "\\u" in text else search.finder_for(rest)
    if finder is None:
        return sorted(given)
    edits = [*given, *_literal_edits(rest, substitute, search, finder, depth=0)]
    between = PATTERNS.find if search.is_by_literal else finder
    return sorted([*edits, *_found(_blanked(text, edits), substitute, between)])


def _has_literals(text: str, search: Search) -> bool:
    """It is JSON, whole or cut off, with strings that have to be searched each by itself."""
    return (search.is_by_literal or "\\" in text) and text.lstrip()[:1] in ("{", "[")


def _found(text: str, substitute: Substitute, finder: Finder) -> list[Edit]:
    return [Edit(start, end, substitute(kind, text[start:end])) for start, end, kind in finder(text)]


def applied(text: str, edits: Sequence[Edit]) -> str:
    """The text after the edits."""
    pieces: list[str] = []
    done = 0
    for start, end, put in edits:
        pieces += text[done:start], put
        done = end
    return "".join((*pieces, text[done:])) if edits else text


def encoded(text: str) -> str:
    """``text`` as a JSON string literal. Half of a surrogate pair, which no UTF-8 can hold, stays an escape."""
    try:
        return orjson.dumps(text).decode()
    except TypeError:
        return json.dumps(text)


def decoded(literal: str) -> str | None:
    """What a JSON string literal says, its closing quote given or cut off; None where it is none."""
    whole = literal if len(literal) > 1 and literal.endswith('"') else literal.rstrip("\\") + '"'
    try:
        value = _loaded(whole)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _loaded(literal: str) -> Any:
    try:
        return orjson.loads(literal)
    except ValueError:  # half of a surrogate pair, or a control character that should have been escaped
        return json.loads(literal, strict=False)


def _literal_edits(text: str, substitute: Substitute, search: Search, finder: Finder, depth: int) -> list[Edit]:
    """Of the literals with an escape. The others are seen as they are by the pass over the whole text."""
    chosen = (literal for literal in _LITERAL.finditer(text) if search.is_by_literal or "\\" in literal[0])
    redacted_ones = ((literal, _redacted_literal(literal[0], substitute, search, finder, depth)) for literal in chosen)
    return [Edit(literal.start(), literal.end(), put) for literal, put in redacted_ones if put is not None]


def _redacted_literal(literal: str, substitute: Substitute, search: Search, finder: Finder, depth: int) -> str | None:
    """The literal with its text redacted; None where nothing is found in it, or where it is no literal after all."""
    text = decoded(literal)
    if text is None:  # cut within an escape, or no JSON after all: the pass over the whole text still sees it
        return None
    edits: list[Edit] = []
    if depth < _MAX_DEPTH and _has_literals(text, search):
        edits = _literal_edits(text, substitute, search, finder, depth + 1)
    edits += _found(_blanked(text, edits), substitute, finder)
    return encoded(applied(text, sorted(edits))) if edits else None


def _blanked(text: str, edits: Sequence[Edit]) -> str:
    return applied(text, [Edit(start, end, "[" * (end - start)) for start, end, _ in sorted(edits)])
