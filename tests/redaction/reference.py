"""The straightforward search that the quick one has to equal: every sign is asked of the text, every pattern runs over all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from shadowproxy.redaction.detectors import DETECTORS, Detector, Found, blanked
from shadowproxy.redaction.searches import Finder, Search
from shadowproxy.redaction.signs import Seen


def asked(text: str) -> list[Detector]:
    seen = Seen(text)
    return [detector for detector in DETECTORS if detector.sign(seen)]


def find(text: str, detectors: Sequence[Detector] | None = None) -> list[Found]:
    found: list[Found] = []
    for detector in asked(text) if detectors is None else detectors:
        fresh = [Found(start, end, detector.kind) for start, end in _places(detector, text)]
        text = blanked(text, fresh)
        found += fresh
    return sorted(found)


def _places(detector: Detector, text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while match := detector.pattern.search(text, at):
        length = detector.measure(match["it"])
        if length:
            start = match.start("it")
            at = start + length
            yield start, at
        else:
            at = match.start() + 1


def finder_for(text: str) -> Finder | None:
    """As ``searches`` does, without screening: the strings within a text are seen well enough when their escapes are gone."""
    detectors = asked(text.replace("\\n", " ").replace("\\t", " ").replace("\\r", " ").replace("\\", ""))
    return partial(find, detectors=detectors) if detectors else None


REFERENCE = Search(find, finder_for)
