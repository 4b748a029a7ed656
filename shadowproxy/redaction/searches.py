"""How a text is searched: by the patterns of ``detectors``, and with whatever else somebody has configured. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shadowproxy.redaction.detectors import Found, asked, blanked, find
from shadowproxy.redaction.screen import possible

#: Text → what is found in it, in order and without overlap.
Finder = Callable[[str], list[Found]]


def _patterns_for(text: str) -> Finder | None:
    bits = possible(text)
    # An escaped sign may be anything; without one, what the strings say when they are decoded is seen well enough.
    detectors = asked(_flattened(text), bits) if bits else None
    return partial(find, detectors=detectors) if detectors else None


def _flattened(text: str) -> str:
    """Much like the text with every string in it decoded, and every string within those. Good enough to see that there are no signs."""
    text = text.replace("\\n", " ")
    return text.replace("\\t", " ").replace("\\r", " ").replace("\\", "") if "\\" in text else text


def _is_clear(text: str) -> bool:
    return not possible(text)


@dataclass(frozen=True, slots=True)
class Search:
    """``find`` searches any text. ``finder_for`` gives a quicker one for JSON without ``\\u`` and its strings, None where there are no
    signs. ``is_clear``: nothing would be found in any text of several that are joined by line breaks, nor without ``\\u`` in their strings.
    ``is_by_literal``: in JSON text each string is searched by itself, because the finder takes JSON's syntax for words."""

    find: Finder = find
    finder_for: Callable[[str], Finder | None] = _patterns_for
    is_by_literal: bool = False
    is_clear: Callable[[str], bool] = _is_clear


PATTERNS = Search()


def together_with(finder: Finder) -> Search:
    """The patterns first, then ``finder`` on what they have left."""

    def find_both(text: str) -> list[Found]:
        found = find(text)
        more = finder(blanked(text, found))
        return sorted(found + [each for each in more if not _overlaps(each, found)])

    return Search(find_both, lambda _: find_both, is_by_literal=True, is_clear=lambda _: False)


def _overlaps(one: Found, others: list[Found]) -> bool:
    return any(one.start < other.end and other.start < one.end for other in others)
