"""Redaction of a reply that came in pieces: server-sent events, or one JSON value a line. PURE.

A model's words are cut anywhere: ``ada@exa`` in one event, ``mple.com`` in the next. So the pieces of each field are joined over all
events, searched as one text, and what is put in place goes into the event in which the find began. A field is told by its path, where
elements with an ``index`` go by that, and by what event it is in (``type``, ``item_id``, ``output_index`` …).

Not seen: what is spread over fields (half of an address in the text, half in a call's arguments), and numbers outside of strings.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from shadowproxy.redaction.fields import Fields
from shadowproxy.redaction.gathering import Gathering, Parsed
from shadowproxy.redaction.leaves import leaves
from shadowproxy.redaction.literals import Edit, Substitute, applied, edits_of, encoded
from shadowproxy.redaction.searches import Search

#: A line of a stream: a data line of server-sent events, another one of its fields, or a line of JSON.
_LINE = re.compile(r"(?P<data>data:[ ]?)?(?P<payload>[^\r\n]+)")

_Path = tuple[str | int, ...]

#: What tells events of one shape apart, where an object has it.
_MARKS = ("type", "index", "output_index", "content_index", "item_id", "event")

#: Deeper events are searched as text, each by itself: no protocol's answer lies so deep.
_MAX_DEPTH = 24


class _TooDeep(Exception):
    """An event that is not walked."""


class _Piece(NamedTuple):
    """A string of one event: which event, where in it, and what it says."""

    event: int
    path: _Path
    text: str


@dataclass(frozen=True, slots=True)
class _Event:
    """The payload of a line, ``text[start:end]`` of the stream. ``value`` is its JSON; None where it is something else."""

    start: int
    end: int
    is_data: bool
    value: Any


def stream_edits(text: str, substitute: Substitute, search: Search, fields: Fields) -> list[Edit]:
    """The edits, in order and without overlap."""
    if not fields and not _shows_any(text, search):
        return []
    return edits_by_event(text, substitute, search, fields)


def edits_by_event(text: str, substitute: Substitute, search: Search, fields: Fields) -> list[Edit]:
    """The same, whatever the stream shows."""
    events = list(_events(text))
    pieces: dict[object, list[_Piece]] = {}
    alone = [number for number, event in enumerate(events) if not _sort_in(number, event, text, pieces)]
    changed: dict[int, dict[_Path, str]] = {}
    for group in pieces.values():
        for piece, put in _redacted(group, substitute, search):
            changed.setdefault(piece.event, {})[piece.path] = put
    edits = [edit for number, puts in changed.items() for edit in _edits_in(events[number], text, puts)]
    edits += [edit for number in alone for edit in _edits_alone(events[number], text, substitute, search)]
    return _with_fields(edits, events, text, substitute, fields) if fields else sorted(edits)


def _shows_any(text: str, search: Search) -> bool:
    """False where no edit would come of it; most streams are done with that."""
    if search.is_by_literal:
        return True
    gathering = Gathering(_parsed)
    gathering.take(text.replace("\r", "\n").split("\n"))
    texts = gathering.texts()
    together = "\n".join(texts)
    if "\\u" not in together and search.is_clear(together):
        return False
    return any(edits_of(each, _nothing, search) for each in texts)


def _nothing(_kind: str, _value: str) -> str:
    return ""


def _parsed(line: str) -> Parsed:
    """A line's strings as ``_sort_in`` gives them to their fields."""
    pieces: dict[object, list[_Piece]] = {}
    event = next(_events(line))
    if not _sort_in(0, event, line, pieces):
        return Parsed([], line[event.start : event.end])
    return Parsed([(field, piece.path, piece.text) for field, group in pieces.items() for piece in group])


def _events(text: str) -> Iterator[_Event]:
    for line in _LINE.finditer(text):
        start, end = line.span("payload")
        is_data = line["data"] is not None
        yield _Event(start, end, is_data, _json(text[start:end]) if is_data or text[start] in "{[" else None)


def _json(payload: str) -> Any:
    try:
        return orjson.loads(payload)
    except ValueError:  # half of a surrogate pair is JSON to others
        try:
            return json.loads(payload)
        except (ValueError, RecursionError):
            return None


def _sort_in(number: int, event: _Event, text: str, pieces: dict[object, list[_Piece]]) -> bool:
    """Give the event's strings to their fields. False where it has to be searched by itself."""
    if event.value is None:
        if event.is_data:
            pieces.setdefault("", []).append(_Piece(number, (), text[event.start : event.end]))
        return event.is_data
    try:
        found = list(_strings(event.value, (), ()))
    except _TooDeep:
        return False
    for field, path, value in found:
        pieces.setdefault(field, []).append(_Piece(number, path, value))
    return True


def _strings(value: Any, field: tuple[object, ...], path: _Path) -> Iterator[tuple[object, _Path, str]]:
    """(which field of the stream, where in this event, the text) of every string."""
    if isinstance(value, str):
        yield field, path, value
    elif isinstance(value, dict):
        _bound(path)
        field = (*field, *((name, value[name]) for name in _MARKS if isinstance(value.get(name), str | int)))
        for key, each in value.items():
            if isinstance(each, str | dict | list):
                yield from _strings(each, (*field, key), (*path, key))
    elif isinstance(value, list):
        _bound(path)
        for index, each in enumerate(value):
            if isinstance(each, str | dict | list):
                has_index = isinstance(each, dict) and isinstance(each.get("index"), int)
                yield from _strings(each, field if has_index else (*field, index), (*path, index))


def _bound(path: _Path) -> None:
    if len(path) >= _MAX_DEPTH:
        raise _TooDeep


def _redacted(group: Sequence[_Piece], substitute: Substitute, search: Search) -> Iterator[tuple[_Piece, str]]:
    """The pieces that change, with what they say then."""
    first = group[0].text
    if all(piece.text == first for piece in group):  # an id or a name that every event repeats
        edits = edits_of(first, substitute, search)
        yield from ((piece, applied(first, edits)) for piece in group if edits)
        return
    edits = edits_of("".join(piece.text for piece in group), substitute, search)
    if edits:
        texts = _dealt_out([piece.text for piece in group], edits)
        yield from ((piece, put) for piece, put in zip(group, texts, strict=True) if put != piece.text)


def _dealt_out(texts: Iterable[str], edits: Sequence[Edit]) -> Iterator[str]:
    """Each text after edits of them all joined. What an edit puts goes to the text in which it begins."""
    at = next_edit = 0
    for text in texts:
        end = at + len(text)
        inside: list[Edit] = []
        while next_edit < len(edits) and edits[next_edit].start < end:
            edit = edits[next_edit]
            inside.append(Edit(max(edit.start, at) - at, min(edit.end, end) - at, edit.put if edit.start >= at else ""))
            if edit.end > end:
                break
            next_edit += 1
        yield applied(text, inside)
        at = end


def _edits_in(event: _Event, text: str, puts: dict[_Path, str]) -> Iterator[Edit]:
    payload = text[event.start : event.end]
    if event.value is None:
        yield Edit(event.start, event.end, puts[()])
        return
    root: _Path = ()
    for leaf in leaves(payload, root, _longer):
        if leaf.state in puts:
            yield Edit(event.start + leaf.start, event.start + leaf.end, encoded(puts[leaf.state]))


def _longer(path: _Path, key: str | int) -> _Path:
    return (*path, key)


def _edits_alone(event: _Event, text: str, substitute: Substitute, search: Search) -> Iterator[Edit]:
    for start, end, put in edits_of(text[event.start : event.end], substitute, search):
        yield Edit(event.start + start, event.start + end, put)


def _with_fields(edits: list[Edit], events: Sequence[_Event], text: str, substitute: Substitute, fields: Fields) -> list[Edit]:
    """What stands at a configured place is replaced whole, piece by piece: that goes before what was found in it."""
    given = [
        Edit(event.start + start, event.start + end, put)
        for event in events
        for start, end, put in fields.edits_of(text[event.start : event.end], substitute)
    ]
    starts = [edit.start for edit in given]
    return sorted(given + [edit for edit in edits if not _is_within(edit, given, starts)])


def _is_within(edit: Edit, given: Sequence[Edit], starts: Sequence[int]) -> bool:
    before = bisect_right(starts, edit.start) - 1
    return before >= 0 and edit.start < given[before].end
