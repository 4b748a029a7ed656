"""All pairs of a report added up in memory that does not grow: distributions by arm, what differs how often, the worst pairs. PURE.

Filled pair by pair while an evaluation runs; afterwards ``contents`` takes it for the report.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from shadowproxy.exchange import CONTROL, PRIMARY
from shadowproxy.report.histograms import Histogram, Scale
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown

CANDIDATE = "candidate"

#: Arms in the order they are shown.
ARMS = (PRIMARY, CANDIDATE, CONTROL)

#: Worst pairs that are shown: what a person reads before deciding.
WORST = 10

#: Of one kind no more than these come first: ten refusals of one template say less than two of each thing that goes wrong.
_FIRST_OF_A_KIND = 2

#: Kinds whose worst pairs are kept apart; the texts of all of them together are some tens of megabytes at most.
_MAX_KEPT_KINDS = 40

#: Kinds, rules and outcomes that are told apart. Kinds of custom comparators are free text; what is over this goes under :data:`REST`.
_MAX_NAMES = 200
REST = "(others)"

#: What is measured of an answer's time, by field of :class:`~shadowproxy.report.pairs.ArmShown`.
MEASURES = {
    "ttft_s": "time to first content (TTFT)",
    "itl_mean_s": "mean gap between content chunks (ITL)",
    "duration_s": "time to the last byte",
}

_RANKS = {"critical": 0, "major": 1, "minor": 2, "info": 3}


@dataclass(slots=True)
class Amount:
    """A sum of what some answers report; the others do not report it."""

    n: int = 0
    total: float = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.n += 1
            self.total += value

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None


def _seconds() -> dict[str, Histogram]:
    return {measure: Histogram.empty(Scale.SECONDS) for measure in MEASURES}


@dataclass(slots=True)
class ArmTotals:
    """What one arm did over all pairs."""

    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    times: dict[str, Histogram] = field(default_factory=_seconds)
    tokens: Amount = field(default_factory=Amount)
    cost: Amount = field(default_factory=Amount)

    def add(self, arm: ArmShown) -> None:
        self.asked += 1
        _count(self.outcomes, arm.outcome or "unknown")
        self.tokens.add(arm.tokens)
        self.cost.add(arm.cost)
        for measure, histogram in self.times.items():
            seconds: float | None = getattr(arm, measure)
            if seconds is not None:
                histogram.add(seconds)


@dataclass(slots=True)
class LikenessTotals:
    """How one arm's answers compare to the primary's over all pairs.

    ``kinds`` counts pairs by kind of divergence and its worst severity in the pair, ``scored`` pairs by what could be compared in them,
    ``suppressed`` differences by the rule that took them out.
    """

    pairs: int = 0
    similarity: Histogram = field(default_factory=lambda: Histogram.empty(Scale.SHARE))
    kinds: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    scored: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)

    def add(self, likeness: Likeness) -> None:
        self.pairs += 1
        if likeness.similarity is not None:
            self.similarity.add(likeness.similarity)
        for kind in likeness.scores:
            _count(self.scored, kind)
        for rule, count in likeness.suppressed.items():
            _count(self.suppressed, rule, count)
        for kind, severity in _worst_by_kind(likeness).items():
            self.kinds[kind if kind in self.kinds or len(self.kinds) < _MAX_NAMES else REST][severity] += 1


#: (weight, less the number of the pair, the pair): the number makes every one different, so that pairs are never compared.
_Weighed = tuple[float, int, PairShown]


class Gathering:
    """Pairs as they come. The same pairs in the same order give the same report."""

    def __init__(self, worst: int = WORST) -> None:
        self.arms = {arm: ArmTotals() for arm in ARMS}
        self.likeness = {arm: LikenessTotals() for arm in (CANDIDATE, CONTROL)}
        self._limit = worst
        self._heaviest: dict[str, list[_Weighed]] = {}

    def add(self, pair: PairShown) -> None:
        """Count a pair, and keep it while it is among those that weigh most."""
        self.arms[PRIMARY].add(pair.primary)
        self.arms[CANDIDATE].add(pair.candidate)
        self.likeness[CANDIDATE].add(pair.likeness)
        if pair.control is not None:
            self.arms[CONTROL].add(pair.control)
        if pair.control_likeness is not None:
            self.likeness[CONTROL].add(pair.control_likeness)
        if pair.weight > 0:
            self._weigh(pair)

    def _weigh(self, pair: PairShown) -> None:
        kind = _gravest_kind(pair.likeness)
        is_room = kind in self._heaviest or len(self._heaviest) < _MAX_KEPT_KINDS
        heap = self._heaviest.setdefault(kind if is_room else REST, [])
        entry = (pair.weight, -self.pairs, pair)
        (heapq.heappush if len(heap) < self._limit else heapq.heappushpop)(heap, entry)

    @property
    def pairs(self) -> int:
        return self.likeness[CANDIDATE].pairs

    @property
    def worst(self) -> tuple[PairShown, ...]:
        """Pairs that differ most beyond what the primary differs from itself, the worst first; of equal ones the earlier.

        The worst few of each kind go before the rest, where there is not room for all.
        """
        ranked = [_sorted(heap) for heap in self._heaviest.values()]
        first = _sorted(entry for heap in ranked for entry in heap[:_FIRST_OF_A_KIND])
        rest = _sorted(entry for heap in ranked for entry in heap[_FIRST_OF_A_KIND:])
        return tuple(pair for _, _, pair in _sorted((first + rest)[: self._limit]))


def gathered(pairs: Iterable[PairShown], worst: int = WORST) -> Gathering:
    """All pairs at once."""
    gathering = Gathering(worst)
    for pair in pairs:
        gathering.add(pair)
    return gathering


def _count(counter: Counter[str], name: str, count: int = 1) -> None:
    counter[name if name in counter or len(counter) < _MAX_NAMES else REST] += count


def _sorted(entries: Iterable[_Weighed]) -> list[_Weighed]:
    return sorted(entries, key=lambda entry: entry[:2], reverse=True)


def _gravest_kind(likeness: Likeness) -> str:
    """The kind that says most about a pair; of equally grave ones the first that was found."""
    found = _worst_by_kind(likeness)
    return min(found, key=lambda kind: _RANKS[found[kind]], default="")


def _worst_by_kind(likeness: Likeness) -> dict[str, str]:
    """Kind → the gravest severity it has in this pair."""
    found: dict[str, str] = {}
    for each in likeness.divergences:
        if each.kind not in found or _RANKS[each.severity.value] < _RANKS[found[each.kind]]:
            found[each.kind] = each.severity.value
    return found
