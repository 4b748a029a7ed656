"""What the pieces of a stream say together, without building every event. PURE.

Nearly all events of a stream are one event again and again, with another string in one place. From two of them that place is learnt; of
the others only what stands there is taken. ``streams`` needs the events themselves only where something is found.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

#: A string of an event: which field of the stream it belongs to, its path in the event, what it says.
Placed = tuple[object, tuple[str | int, ...], str]

#: Kinds of events of one stream whose place is learnt: text, thinking, arguments of calls and their relatives.
_TEMPLATES: Final = 8

#: Pairs of events that are compared to learn. A stream that has given none by then gives none.
_ATTEMPTS: Final = 64

#: Stands in the place that is learnt, to see what JSON makes of it.
_MARK: Final = "\u2042shadowproxy\u2042"


class Parsed(NamedTuple):
    """A line of a stream: its strings; ``alone`` is searched by itself."""

    strings: list[Placed]
    alone: str = ""


@dataclass(frozen=True, slots=True)
class _Template:
    """Lines between whose ends stands nothing but the text of one string of ``field``. The others are ``constant``."""

    before: str
    behind: str
    field: Hashable
    constant: list[Placed]


class Gathering:
    """Fed the lines of one stream in order. ``parse`` takes a line apart."""

    __slots__ = ("_alone", "_attempts", "_fields", "_last_line", "_last_strings", "_parse", "_said", "_template", "_templates")

    def __init__(self, parse: Callable[[str], Parsed]) -> None:
        self._parse = parse
        self._fields: dict[object, list[str]] = {}
        self._alone: dict[str, None] = {}
        self._templates: list[_Template] = []
        self._template: _Template | None = None
        self._said: list[str] = []
        self._last_line = ""
        self._last_strings: list[Placed] = []
        self._attempts = 0

    def take(self, lines: list[str]) -> None:
        """The lines, empty ones included."""
        before = behind = ""
        ends = 1 << 62
        for line in lines:
            if not line:
                continue
            if len(line) >= ends and line.startswith(before) and line.endswith(behind):
                said = _said(line[len(before) : len(line) - len(behind)])
                if said is not None:
                    self._said.append(said)
                    continue
            self._take_another(line)
            if self._template is not None:
                before, behind = self._template.before, self._template.behind
                ends = len(before) + len(behind)

    def texts(self) -> list[str]:
        """All that is to be searched, each text by itself: what each field says, once where it always says the same."""
        self._end_run()
        return [*self._alone, *(said[0] if said.count(said[0]) == len(said) else "".join(said) for said in self._fields.values())]

    def _take_another(self, line: str) -> None:
        """A line unlike the one before."""
        if line in self._alone:  # the name of an event, again and again
            return
        for template in self._templates:
            if template is not self._template and (said := _said_as(template, line)) is not None:
                self._end_run()
                self._template = template
                self._said.append(said)
                return
        self._end_run()
        strings, alone = self._parse(line)
        if alone:
            self._alone[alone] = None
            return
        for field, _, text in strings:
            self._fields.setdefault(field, []).append(text)
        self._learn(line, strings)

    def _end_run(self) -> None:
        """Give what lines of one template said to their fields."""
        if self._template is None or not self._said:
            return
        for field, _, text in self._template.constant:
            self._fields.setdefault(field, []).extend([text] * len(self._said))
        self._fields.setdefault(self._template.field, []).extend(self._said)
        self._said.clear()

    def _learn(self, line: str, strings: list[Placed]) -> None:
        if len(self._templates) < _TEMPLATES and self._attempts < _ATTEMPTS and len(strings) == len(self._last_strings):
            self._attempts += 1
            made = self._template_of(line, strings)
            if made is not None:
                self._templates.append(made)
                self._template = made
        self._last_line, self._last_strings = line, strings

    def _template_of(self, line: str, strings: list[Placed]) -> _Template | None:
        """What this line and the last have in common. None where more than a string changed, or where that string tells fields apart."""
        changed = [at for at, (one, last) in enumerate(zip(strings, self._last_strings, strict=True)) if one != last]
        if len(changed) != 1 or len({field for field, _, _ in strings}) < len(strings):
            return None
        before = line[: _common(line, self._last_line)]
        behind = line[::-1][: _common(line[::-1], self._last_line[::-1])][::-1]
        before, behind = before[: before.rfind('"') + 1], behind[max(0, behind.find('"')) :]
        field, path, _ = strings[changed[0]]
        expected = [*strings[: changed[0]], (field, path, _MARK), *strings[changed[0] + 1 :]]
        if not before or not behind or self._parse(f"{before}{_MARK}{behind}").strings != expected:
            return None
        return _Template(before, behind, field, [*strings[: changed[0]], *strings[changed[0] + 1 :]])


def _said_as(template: _Template, line: str) -> str | None:
    before, behind = template.before, template.behind
    if len(line) >= len(before) + len(behind) and line.startswith(before) and line.endswith(behind):
        return _said(line[len(before) : len(line) - len(behind)])
    return None


def _said(inside: str) -> str | None:
    """What a string literal says that has this between its quotes; None where it is none."""
    if inside.isprintable() and '"' not in inside and "\\" not in inside:
        return inside
    try:
        value = orjson.loads(f'"{inside}"')
    except ValueError:  # not one literal, or one that the whole line is parsed for in another way
        return None
    return value if isinstance(value, str) else None


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
