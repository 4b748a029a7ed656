"""How differences are said to people: one row per check. PURE.

Used by ``gates`` for the text of a finding. Rates are spoken of in percent and percentage points, scores in their own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shadowproxy.verdict.cells import (
    AA_ERROR,
    AA_TTFT,
    BOTH_BAD,
    CANDIDATE_ONLY,
    ERROR,
    REFERENCE_ONLY,
    SIMILARITY,
    SIMILARITY_ABSOLUTE,
    TTFT_TAIL,
)


@dataclass(frozen=True, slots=True)
class Wording:
    """``shown`` tells what was seen (from counts per cell and the mean of D); ``amount`` prints a value of D without its unit."""

    shown: Callable[[Mapping[str, int], float], str]
    amount: Callable[[float], str]
    unit: str
    worse: str


def _number(x: float) -> str:
    """One decimal from 1 up, two below, no trailing zeros below 1: 12.0, 8.1, 0.5, 0.31, 0."""
    if abs(x) >= 1:
        return f"{x:.1f}"
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def percent(share: float) -> str:
    """0.12 → ``12.0 %``."""
    return f"{_number(100 * share)} %"


def _points(x: float) -> str:
    return _number(100 * x)


def _score(x: float) -> str:
    return f"{x:.3f}"


def _rates(text: str) -> Callable[[Mapping[str, int], float], str]:
    """Both sides' rates of a yes/no check, put into ``text`` as {candidate} and {reference}."""

    def shown(counts: Mapping[str, int], _mean: float) -> str:
        total = sum(counts.values())
        both = counts.get(BOTH_BAD, 0)
        candidate = (counts.get(CANDIDATE_ONLY, 0) + both) / total
        reference = (counts.get(REFERENCE_ONLY, 0) + both) / total
        return text.format(candidate=percent(candidate), reference=percent(reference))

    return shown


def _similarity(_counts: Mapping[str, int], mean: float) -> str:
    direction = "less" if mean >= 0 else "more"
    return f"candidate's answers are {_score(abs(mean))} {direction} similar to the primary's than the primary's own second answers"


def _similarity_absolute(_counts: Mapping[str, int], mean: float) -> str:
    return f"candidate's answers have a mean similarity of {_score(1 - mean)} to the primary's"


#: Check → how it is said.
WORDINGS: Mapping[str, Wording] = MappingProxyType(
    {
        ERROR: Wording(_rates("candidate fails {candidate} of requests, primary {reference}"), _points, " points", "worse"),
        AA_ERROR: Wording(_rates("control fails {candidate} of requests, primary {reference}"), _points, " points", "worse"),
        AA_TTFT: Wording(
            _rates("control is over the TTFT limit in {candidate} of requests, primary over its own in {reference}"),
            _points,
            " points",
            "worse",
        ),
        TTFT_TAIL: Wording(
            _rates("candidate is over its TTFT limit in {candidate} of requests, primary over its own in {reference}"),
            _points,
            " points",
            "worse",
        ),
        SIMILARITY: Wording(_similarity, _score, "", "worse"),
        SIMILARITY_ABSOLUTE: Wording(_similarity_absolute, _score, "", "short of 1"),
    }
)


def duration(seconds: float) -> str:
    """A rough length of time: ``40 s``, ``12 min``, ``3.5 h``, ``2.0 days``."""
    for limit, unit_s, text in ((120, 1, "{:.0f} s"), (7200, 60, "{:.0f} min"), (172_800, 3600, "{:.1f} h")):
        if seconds < limit:
            return text.format(seconds / unit_s)
    return f"{seconds / 86_400:.1f} days"


def count(n: int) -> str:
    """Thousands apart: ``12,345``."""
    return f"{n:,}"
