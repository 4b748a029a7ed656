"""Where two JSON values differ, and how much of them does. PURE.

``structure`` and ``tools`` turn what is found here into divergences of their own kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import Any

from shadowproxy.compare.json_paths import Path
from shadowproxy.compare.json_values import canonical, leaves, type_name, written
from shadowproxy.exchange import Severity

#: Differences kept for people; the rest is only counted. Nobody reads more of one pair.
MAX_KEPT = 32


class Change(Enum):
    """In what way the other value differs."""

    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    VALUE = "value"
    ARRAY_LENGTH = "array_length"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two values differ. ``weight`` is the number of leaves that are touched; both sides are JSON text, or empty."""

    change: Change
    path: Path
    weight: int
    severity: Severity
    primary: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Differences:
    """All that differs: of ``leaves`` in either value ``differing`` differ. ``kept`` are the first places, in document order."""

    leaves: int
    differing: int
    kept: tuple[Difference, ...]

    @property
    def share(self) -> float:
        """Within 0..1."""
        return self.differing / self.leaves


def differences(primary: Any, other: Any) -> Differences:
    """Compare two values of :class:`~shadowproxy.compare.json_values.Document`, in time linear in their size times their depth.

    The order of keys does not count, that of elements does. Where arrays differ in length, what they begin and end with alike is paired
    first, so that one element more in the middle is one difference.
    """
    total, differing = 0, 0
    kept: list[Difference] = []
    # A stack of our own, the next place on top.
    open_places: list[tuple[Path, Any, Any]] = [((), primary, other)]
    while open_places:
        path, one, two = open_places.pop()
        inner, found = _opened(path, one, two)
        open_places.extend(reversed(inner))
        total += 1 if not inner and not found else sum(each.weight for each in found)
        differing += sum(each.weight for each in found)
        kept.extend(found[: MAX_KEPT - len(kept)])
    return Differences(total, differing, tuple(kept))


_Inner = list[tuple[Path, Any, Any]]


def _opened(path: Path, one: Any, two: Any) -> tuple[_Inner, list[Difference]]:
    """One step into two values: the pairs to look at next, and what is already seen to differ. Neither: an equal leaf."""
    if isinstance(one, dict) and isinstance(two, dict):
        return [((*path, key), one[key], two[key]) for key in one if key in two], list(_keys(path, one, two))
    if isinstance(one, list) and isinstance(two, list):
        return _elements(path, one, two)
    return [], list(_values(path, one, two))


def _keys(path: Path, one: dict[str, Any], two: dict[str, Any]) -> Iterator[Difference]:
    for key in one:
        if key not in two:
            yield Difference(Change.MISSING, (*path, key), leaves(one[key]), Severity.MAJOR, primary=written(one[key]))
    for key in two:
        if key not in one:
            yield Difference(Change.EXTRA, (*path, key), leaves(two[key]), Severity.MINOR, other=written(two[key]))


def _elements(path: Path, one: list[Any], two: list[Any]) -> tuple[_Inner, list[Difference]]:
    if len(one) == len(two):
        return [((*path, at), *both) for at, both in enumerate(zip(one, two, strict=True))], []
    begin, end = _alike(one, two)
    middle, others = one[begin : len(one) - end], two[begin : len(two) - end]
    paired = min(len(middle), len(others))
    inner = [((*path, at), each, each) for at, each in enumerate(one[:begin])]
    inner += [((*path, begin + at), middle[at], others[at]) for at in range(paired)]
    inner += [((*path, len(one) - end + at), each, each) for at, each in enumerate(one[len(one) - end :])]
    weight = sum(map(leaves, middle[paired:] + others[paired:]))
    return inner, [Difference(Change.ARRAY_LENGTH, path, weight, Severity.MINOR, f"{len(one)} items", f"{len(two)} items")]


def _alike(one: list[Any], two: list[Any]) -> tuple[int, int]:
    """How many elements are the same at the beginning, and how many of the rest at the end."""
    ones, twos = list(map(canonical, one)), list(map(canonical, two))
    begin = sum(1 for _ in takewhile(_is_pair, zip(ones, twos, strict=False)))
    end = sum(1 for _ in takewhile(_is_pair, zip(reversed(ones[begin:]), reversed(twos[begin:]), strict=False)))
    return begin, end


def _is_pair(both: tuple[str, str]) -> bool:
    return both[0] == both[1]


def _values(path: Path, one: Any, two: Any) -> Iterator[Difference]:
    if type_name(one) != type_name(two):
        yield Difference(Change.TYPE, path, max(leaves(one), leaves(two)), Severity.MAJOR, written(one), written(two))
    elif one != two:
        # Words can be said in other words; a number, a yes or a no cannot.
        severity = Severity.MINOR if isinstance(one, str) else Severity.MAJOR
        yield Difference(Change.VALUE, path, 1, severity, written(one), written(two))
