"""The counts of one rollout, by what is judged together: routes, slices, checks. PURE.

Between ``cells`` (counts of every process, added up) and ``case`` (which has every gate judge its part). ``strata`` says what is pooled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadowproxy.verdict.cells import CellKey, Cells
from shadowproxy.verdict.slices import dimension_of
from shadowproxy.verdict.strata import slice_strata, stratum_of


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """A route, or several judged together; or a slice of all routes. Of ``route`` and ``slice`` one is empty."""

    route: str
    slice: str = ""

    @property
    def label(self) -> str:
        return self.slice or self.route


_Checks = Mapping[str, Mapping[str, int]]
_NO_COUNTS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Losses:
    """Pairs lost on our side: how many in all, and where, as far as it is known."""

    total: int
    by_route: Mapping[str, int]
    by_slice: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Book:
    """The counts of a rollout: ``tally`` by stratum, check and cell, with each stratum's ``sizes`` and ``lost`` pairs.

    ``pairs`` counts pairs once, over all routes. Strata are in the order in which they are said: routes before slices, large before small.
    """

    pairs: int
    pairs_per_s: float
    tally: Mapping[Stratum, _Checks]
    sizes: Mapping[Stratum, int]
    lost: Mapping[Stratum, int]

    @classmethod
    def of(cls, cells: Cells, losses: Losses, pairs_per_s: float, min_share: float) -> Book:
        """The book of a rollout's counts, with routes and slices under ``min_share`` pooled."""
        seen = [(key, n) for key, n in cells.items() if n > 0 and key.is_known]
        by_route, by_slice = _pairs_by_label(seen)
        total = sum(by_route.values())
        routes = {label: Stratum(route) for label, route in stratum_of(by_route, min_share).items()}
        slices = {label: Stratum("", found) for label, found in slice_strata(by_slice, total, min_share).items()}
        sizes = _summed(routes, by_route) | _summed(slices, by_slice)
        return cls(total, pairs_per_s, _tally(seen, routes, slices), sizes, _lost(losses, routes, slices))

    @property
    def strata(self) -> list[Stratum]:
        return sorted(self.sizes, key=lambda each: (each.slice != "", -self.sizes[each], each))

    def counts(self, stratum: Stratum, check: str) -> Mapping[str, int]:
        return self.tally.get(stratum, {}).get(check, _NO_COUNTS)

    def total(self, check: str) -> dict[str, int]:
        """Counts per cell over all routes."""
        found: dict[str, int] = defaultdict(int)
        for stratum, by_check in self.tally.items():
            if not stratum.slice:
                for cell, n in by_check.get(check, _NO_COUNTS).items():
                    found[cell] += n
        return found

    def seen(self, stratum: Stratum, check: str) -> int:
        """Pairs of a stratum in which a check found something to measure."""
        return sum(self.counts(stratum, check).values())

    def rate(self, stratum: Stratum, check: str) -> float:
        """The same per second, at present."""
        return self.pairs_per_s * self.seen(stratum, check) / self.pairs if self.pairs else 0.0


_Seen = Sequence[tuple[CellKey, int]]


def _pairs_by_label(seen: _Seen) -> tuple[dict[str, int], dict[str, int]]:
    """Pairs of each route and of each slice. Every check sees some of them, and none sees a pair twice: the largest is the best count."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for key, n in seen:
        sums[key.route, key.slice, key.check] += n
    routes: dict[str, int] = {}
    slices: dict[str, int] = {}
    for (route, label, _), n in sums.items():
        largest, name = (slices, label) if label else (routes, route)
        largest[name] = max(largest.get(name, 0), n)
    return routes, slices


def _summed(strata: Mapping[str, Stratum], pairs: Mapping[str, int]) -> dict[Stratum, int]:
    sizes: dict[Stratum, int] = defaultdict(int)
    for label, stratum in strata.items():
        sizes[stratum] += pairs[label]
    return sizes


def _tally(seen: _Seen, routes: Mapping[str, Stratum], slices: Mapping[str, Stratum]) -> dict[Stratum, dict[str, dict[str, int]]]:
    tally: dict[Stratum, dict[str, dict[str, int]]] = {stratum: {} for stratum in (*routes.values(), *slices.values())}
    for key, n in seen:
        stratum = slices.get(key.slice) if key.slice else routes[key.route]
        if stratum is not None:
            counts = tally[stratum].setdefault(key.check, {})
            counts[key.cell] = counts.get(key.cell, 0) + n
    return tally


def _lost(losses: Losses, routes: Mapping[str, Stratum], slices: Mapping[str, Stratum]) -> dict[Stratum, int]:
    """Lost pairs per stratum. Of each dimension, those of unknown label count in every stratum: any of them may have lost them all."""
    lost = _lost_among(losses.total, losses.by_route, routes)
    for dimension in {dimension_of(label) for label in slices}:
        members = {label: stratum for label, stratum in slices.items() if dimension_of(label) == dimension}
        lost |= _lost_among(losses.total, losses.by_slice, members)
    return lost


def _lost_among(total: int, by_label: Mapping[str, int], strata: Mapping[str, Stratum]) -> dict[Stratum, int]:
    known: dict[Stratum, int] = defaultdict(int)
    for label, n in by_label.items():
        if label in strata:
            known[strata[label]] += max(n, 0)
    anywhere = max(total - sum(known.values()), 0)
    return {stratum: known[stratum] + anywhere for stratum in strata.values()}
