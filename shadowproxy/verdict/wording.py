"""How differences are said to people: one row per check. PURE.

Used by ``gates`` for the text of a finding. Rates are spoken of in percent and percentage points, scores in their own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shadowproxy.verdict import checks


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
        both = counts.get(checks.BOTH_BAD, 0)
        candidate = (counts.get(checks.CANDIDATE_ONLY, 0) + both) / total
        reference = (counts.get(checks.REFERENCE_ONLY, 0) + both) / total
        return text.format(candidate=percent(candidate), reference=percent(reference))

    return shown


def _share(text: str) -> Callable[[Mapping[str, int], float], str]:
    """The mean of D as a share, put into ``text`` as {share}."""
    return lambda _counts, mean: text.format(share=percent(mean))


def _similarity(_counts: Mapping[str, int], mean: float) -> str:
    direction = "less" if mean >= 0 else "more"
    return f"candidate's answers are {_score(abs(mean))} {direction} similar to the primary's than the primary's own second answers"


def _similarity_absolute(_counts: Mapping[str, int], mean: float) -> str:
    return f"candidate's answers have a mean similarity of {_score(1 - mean)} to the primary's"


def _amount(what: str) -> Callable[[Mapping[str, int], float], str]:
    def shown(_counts: Mapping[str, int], mean: float) -> str:
        direction = "over" if mean >= 0 else "under"
        return f"candidate's {what} is {_points(abs(mean))} % of the cap {direction} what the ratio allows"

    return shown


def _points_of(text: str) -> Wording:
    return Wording(_rates(text), _points, " points", "worse")


def _unlike(text: str) -> Wording:
    """Rates of being unlike the primary's first answer: the candidate's, and the primary's own when asked again."""
    return _points_of(f"candidate {text} in {{candidate}} of requests, the primary asked again in {{reference}}")


def _unlike_absolute(text: str) -> Wording:
    return Wording(_share(f"candidate {text} in {{share}} of requests"), percent, "", "in all")


def _late(who: str, limit: str) -> Wording:
    return _points_of(f"{who} is over {limit} in {{candidate}} of requests, primary over its own in {{reference}}")


#: Check → how it is said. The negative controls speak of the control where the others speak of the candidate.
WORDINGS: Mapping[str, Wording] = MappingProxyType(
    {
        checks.ERROR: _points_of("candidate fails {candidate} of requests, primary {reference}"),
        checks.JSON_VALID: _points_of("candidate's JSON is invalid in {candidate} of requests, the primary's in {reference}"),
        checks.TOOL_VALID: _points_of("candidate's tool calls are invalid in {candidate} of requests, the primary's in {reference}"),
        checks.TRUNCATED: _points_of("candidate's answer is cut off in {candidate} of requests, the primary's in {reference}"),
        checks.STRUCTURE: _unlike("differs from the primary's structure"),
        checks.STRUCTURE_ABSOLUTE: _unlike_absolute("differs from the primary's structure"),
        checks.TOOLS: _unlike("calls other tools"),
        checks.TOOLS_ABSOLUTE: _unlike_absolute("calls other tools"),
        checks.FACTS: _unlike("states other facts"),
        checks.FACTS_ABSOLUTE: _unlike_absolute("states other facts"),
        checks.REFUSAL: _unlike("declines where the primary does not, or the reverse,"),
        checks.REFUSAL_ABSOLUTE: _unlike_absolute("declines where the primary does not, or the reverse,"),
        checks.SIMILARITY: Wording(_similarity, _score, "", "worse"),
        checks.SIMILARITY_ABSOLUTE: Wording(_similarity_absolute, _score, "", "short of 1"),
        checks.TTFT_TAIL: _late("candidate", "its TTFT limit"),
        checks.ITL_TAIL: _late("candidate", "its ITL limit"),
        checks.DURATION_TAIL: _late("candidate", "its limit of duration"),
        checks.COST: Wording(_amount("mean cost"), percent, " of the cap", "worse"),
        checks.TOKENS: Wording(_amount("mean number of tokens"), percent, " of the cap", "worse"),
        checks.JUDGE: _points_of("the judge prefers the primary in {candidate} of requests, the candidate in {reference}"),
        checks.AA_ERROR: _points_of("control fails {candidate} of requests, primary {reference}"),
        checks.AA_TTFT: _late("control", "the TTFT limit"),
        checks.AA_ITL: _late("control", "the ITL limit"),
        checks.AA_DURATION: _late("control", "the limit of duration"),
    }
)

_BUDGET = Wording(_share("candidate is over this budget in {share} of requests"), percent, "", "in all")


def wording_of(check: str) -> Wording:
    """How a check is said; configured budgets share one wording."""
    return _BUDGET if check.startswith(checks.BUDGET) else WORDINGS[check]


def duration(seconds: float) -> str:
    """A rough length of time: ``40 s``, ``12 min``, ``3.5 h``, ``2.0 days``."""
    for limit, unit_s, text in ((120, 1, "{:.0f} s"), (7200, 60, "{:.0f} min"), (172_800, 3600, "{:.1f} h")):
        if seconds < limit:
            return text.format(seconds / unit_s)
    return f"{seconds / 86_400:.1f} days"


def count(n: int) -> str:
    """Thousands apart: ``12,345``."""
    return f"{n:,}"
