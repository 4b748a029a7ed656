"""How a text is searched: by the patterns of ``detectors``, and with whatever else somebody has configured. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shadowproxy.redaction.detectors import Found, blanked, find, has_signs

#: Text → what is found in it, in order and without overlap.
Finder = Callable[[str], list[Found]]


@dataclass(frozen=True, slots=True)
class Search:
    """``has_signs`` is False where ``find`` would find nothing, cheaply told. ``is_by_literal``: in JSON text each string is searched by
    itself, because the finder takes JSON's syntax for words."""

    find: Finder = find
    has_signs: Callable[[str], bool] = has_signs
    is_by_literal: bool = False


PATTERNS = Search()


def together_with(finder: Finder) -> Search:
    """The patterns first, then ``finder`` on what they have left."""

    def find_both(text: str) -> list[Found]:
        found = find(text)
        more = finder(blanked(text, found))
        return sorted(found + [each for each in more if not _overlaps(each, found)])

    return Search(find_both, lambda text: not text.isspace(), is_by_literal=True)


def _overlaps(one: Found, others: list[Found]) -> bool:
    return any(one.start < other.end and other.start < one.end for other in others)
