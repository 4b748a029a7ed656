"""Where the scalars of a JSON text stand, without building the value. PURE.

Needed where one value is to be changed and everything else is to stay byte for byte. Text that breaks off or is no JSON gives what can be
recognised until there; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from shadowproxy.redaction.literals import decoded

State = TypeVar("State")

_TOKEN = re.compile(r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))|(?P<sign>[\[\]{},:])|(?P<bare>[^\s\[\]{},:"]+)', re.DOTALL)

#: Containers within containers that are followed. What lies deeper has the state of the last one that is.
_MAX_DEPTH = 200


class Leaf(NamedTuple, Generic[State]):
    """``text[start:end]`` is a string, number, true, false or null, at a place that ``state`` tells of."""

    start: int
    end: int
    state: State


@dataclass(slots=True)
class _Open(Generic[State]):
    """A container that is not closed yet, and the key or index that comes next in it."""

    state: State
    key: str | int


def leaves(text: str, root: State, after: Callable[[State, str | int], State]) -> Iterator[Leaf[State]]:
    """Every scalar, in order. ``after`` says what a key or index makes of the state of the container."""
    walk = _Walk(root, after)
    for token in _TOKEN.finditer(text):
        if token["sign"] is not None:
            walk.take(token["sign"])
        elif walk.awaits_key:
            walk.name(decoded(token[0]) or "")
        else:
            yield Leaf(token.start(), token.end(), walk.here)


class _Walk(Generic[State]):
    __slots__ = ("_after", "_open", "_root", "_skipped", "awaits_key")

    def __init__(self, root: State, after: Callable[[State, str | int], State]) -> None:
        self._root = root
        self._after = after
        self._open: list[_Open[State]] = []
        self._skipped = 0
        self.awaits_key = False

    @property
    def here(self) -> State:
        """The state of the scalar or container that comes next."""
        if not self._open:
            return self._root
        last = self._open[-1]
        return last.state if self._skipped else self._after(last.state, last.key)

    def name(self, key: str) -> None:
        self._open[-1].key = key
        self.awaits_key = False

    def take(self, sign: str) -> None:
        if sign in "{[":
            self._enter("" if sign == "{" else 0)
        elif sign in "}]":
            self._leave()
        elif sign == ",":
            self._go_on()

    def _enter(self, first: str | int) -> None:
        if len(self._open) >= _MAX_DEPTH:
            self._skipped += 1
        else:
            self._open.append(_Open(self.here, first))
        self.awaits_key = first == "" and not self._skipped

    def _leave(self) -> None:
        if self._skipped:
            self._skipped -= 1
        elif self._open:
            self._open.pop()
        self.awaits_key = False

    def _go_on(self) -> None:
        if self._skipped or not self._open:
            return
        last = self._open[-1]
        if isinstance(last.key, int):
            last.key += 1
        else:
            self.awaits_key = True
