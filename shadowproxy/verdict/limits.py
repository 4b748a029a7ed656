"""What pairs are measured against, fixed before the first pair that it judges. PURE.

Used by ``reductions``. A limit that were moved by the data it judges would make its test worthless; one that is merely a little off
tests a slightly different quantile or ratio, and stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowproxy.verdict.checks import BUDGET

TTFT = "ttft"
ITL = "itl"
DURATION = "duration"
COST = "cost"
TOKENS = "tokens"
ERROR = "error"

#: What a tail gate can be about: seconds.
TAIL_MEASURES = (TTFT, ITL, DURATION)
#: What a ratio gate can be about: amounts that add up.
RATIO_MEASURES = (COST, TOKENS)
#: What an absolute budget can be about. ``error`` is 1 for a failed answer and 0 for any other.
BUDGET_MEASURES = (TTFT, ITL, DURATION, COST, TOKENS, ERROR)


@dataclass(frozen=True, slots=True)
class TailThreshold:
    """What counts as slow: over ``primary_s`` (t*) for the primary, over ``candidate_s`` (ratio x t*) for the candidate.

    With t* the primary's p95, "slow no more often than the primary" is "p95 of the candidate at most ratio x p95 of the primary".
    """

    primary_s: float
    candidate_s: float

    def __post_init__(self) -> None:
        if not (0 < self.primary_s < math.inf and 0 < self.candidate_s < math.inf):
            raise ValueError(f"thresholds must be positive and finite, not {self.primary_s} and {self.candidate_s}")


@dataclass(frozen=True, slots=True)
class Ratio:
    """The candidate's mean may be ``ratio`` times the primary's: D = (c - ratio p) / (max(1, ratio) cap), in [-1, 1].

    The ratio of two means is linearised: E[D] <= 0 says the same and is a mean of pairs. ``cap`` is the most that one answer can
    come to (tokens: ``max_tokens``); amounts over it are taken as the cap, on both sides. A cap far above what answers come to
    costs pairs: D then is small against the grid.
    """

    ratio: float
    cap: float

    def __post_init__(self) -> None:
        if not (0 < self.ratio < math.inf and 0 < self.cap < math.inf):
            raise ValueError(f"ratio and cap must be positive and finite, not {self.ratio} and {self.cap}")

    def difference(self, candidate: float, primary: float) -> float:
        """D of one pair."""
        return (min(candidate, self.cap) - self.ratio * min(primary, self.cap)) / (max(1.0, self.ratio) * self.cap)


@dataclass(frozen=True, slots=True)
class Budget:
    """P(``measure`` of the candidate > ``limit``) <= ``share``, whatever the primary does. ``name`` tells budgets apart.

    Seconds for ``ttft``, ``itl`` and ``duration``, the price table's currency for ``cost``, completion tokens for ``tokens``; for ``error``
    the limit is 0 and every failure is over it.
    """

    name: str
    measure: str
    limit: float
    share: float

    def __post_init__(self) -> None:
        if not self.name or not self.name.isascii() or not self.name.isprintable():
            raise ValueError(f"a budget needs a name of printable ASCII, not {self.name!r}")
        if self.measure not in BUDGET_MEASURES:
            raise ValueError(f"budget {self.name}: measure {self.measure!r} is not one of {', '.join(BUDGET_MEASURES)}")
        if not 0 <= self.limit < math.inf:
            raise ValueError(f"budget {self.name}: limit {self.limit} is not a number from 0 up")
        if not 0 < self.share < 1:
            raise ValueError(f"budget {self.name}: share {self.share} is not inside 0..1")

    @property
    def check(self) -> str:
        """Name of the check that counts for this budget; its gate is called the same."""
        return BUDGET + self.name


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything one pair is measured against. A measure without an entry is not judged (yet).

    ``tails`` by :data:`TAIL_MEASURES`, ``ratios`` by :data:`RATIO_MEASURES`.
    """

    tails: Mapping[str, TailThreshold] = field(default_factory=dict)
    ratios: Mapping[str, Ratio] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()

    def __post_init__(self) -> None:
        for given, known in ((self.tails, TAIL_MEASURES), (self.ratios, RATIO_MEASURES)):
            if strange := sorted(set(given) - set(known)):
                raise ValueError(f"limit for {strange[0]!r}: not one of {', '.join(known)}")
