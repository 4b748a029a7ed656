"""Values that are replaced because of where they stand, whatever they are: the paths of ``journal.redact.fields``. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from shadowproxy.compare.json_paths import Places
from shadowproxy.redaction.detectors import find
from shadowproxy.redaction.leaves import leaves
from shadowproxy.redaction.literals import Edit, Substitute, decoded, encoded

#: Per path how far it has been followed; None where one has been followed to its end, and all below is meant.
_Reached = tuple[frozenset[int], ...] | None

_CONSTANTS = ("true", "false", "null")


class Fields:
    """The places to replace. A place that holds an object or an array means every value in it."""

    __slots__ = ("_paths",)

    def __init__(self, paths: Sequence[Places]) -> None:
        self._paths = tuple(paths)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def edits_of(self, text: str, substitute: Substitute) -> list[Edit]:
        """One edit for each value at such a place in a JSON text; none in what is no JSON."""
        if not self._paths or text.lstrip()[:1] not in ("{", "["):
            return []
        meant = (leaf for leaf in leaves(text, self._start(), self._after) if leaf.state is None)
        edits = (Edit(leaf.start, leaf.end, _replaced(text[leaf.start : leaf.end], substitute)) for leaf in meant)
        return [edit for edit in edits if edit.put != text[edit.start : edit.end]]

    def _start(self) -> _Reached:
        return self._or_all(tuple(path.start() for path in self._paths))

    def _after(self, reached: _Reached, key: str | int) -> _Reached:
        if reached is None:
            return None
        return self._or_all(tuple(path.after(at, key) for path, at in zip(self._paths, reached, strict=True)))

    def _or_all(self, reached: tuple[frozenset[int], ...]) -> _Reached:
        return None if any(path.is_here(at) for path, at in zip(self._paths, reached, strict=True)) else reached


def _replaced(scalar: str, substitute: Substitute) -> str:
    """A string gives a string, of its form where it has one; a number gives a number; true, false and null say nothing of anybody."""
    if not scalar.startswith('"'):
        return scalar if scalar in _CONSTANTS else substitute("number", scalar)
    text = decoded(scalar)
    if not text:
        return scalar if text == "" else '""'
    found = find(text)
    kind = found[0].kind if found and (found[0].start, found[0].end) == (0, len(text)) else "field"
    return encoded(substitute(kind, text))
