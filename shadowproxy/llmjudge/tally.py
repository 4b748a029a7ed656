"""What the results say of the judge: how often it prefers, how often its two orders agree, and what it sees between equals. PURE.

A judge that contradicts itself in every pair finds only ties, and a gate on ties passes whatever it is shown. So preferences are never
reported without the share of order flips, and without what the same judge says of the primary against itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shadowproxy.llmjudge.preference import Agreement, Preference, Winner

#: Label ``result`` → one line of documentation. Counts of these add up over processes and are all that is kept.
RESULTS: Mapping[str, str] = {
    "primary": "both orders prefer the primary's answer, or the other arm failed to give one and nothing was asked",
    "candidate": "both orders prefer the candidate's answer (the control's, in its pairs)",
    "tie": "both orders see a tie, or the two texts are equal and nothing was asked",
    "first": "both times the answer shown first was preferred: counts as a tie",
    "second": "both times the answer shown second was preferred: counts as a tie",
    "half": "one order prefers, the other sees a tie: counts as a tie",
}


def result_of(found: Preference) -> str:
    """The key of :data:`RESULTS` that a preference counts under."""
    return found.winner.value if found.is_consistent else found.agreement.value


@dataclass(frozen=True, slots=True)
class Tally:
    """How often each result was seen. Keys are those of :data:`RESULTS`."""

    counts: Mapping[str, int]

    @property
    def pairs(self) -> int:
        return sum(self.counts.values())

    def share(self, *results: str) -> float:
        """Share of pairs with one of these results; 0 without pairs."""
        return sum(self.counts.get(result, 0) for result in results) / self.pairs if self.pairs else 0.0

    @property
    def flip_share(self) -> float:
        """Share of pairs in which the orders contradict each other: the position bias."""
        return self.share(Agreement.FIRST, Agreement.SECOND)

    @property
    def tie_share(self) -> float:
        """Share of pairs that count as a tie, whatever it came from."""
        return self.share(Winner.TIE, Agreement.FIRST, Agreement.SECOND, Agreement.HALF)


def says(candidate: Tally, control: Tally) -> tuple[str, ...]:
    """Lines for people: what is preferred, what the same judge sees between equals, and how far it contradicts itself."""
    lines = [f"judge, {_pairs(candidate)}: {_preferences(candidate, 'candidate')}"]
    if control.pairs:
        lines.append(f"judge, primary against itself, {_pairs(control)}: {_preferences(control, 'control')}")
    else:
        lines.append("judge: never shown the primary against itself, so what it sees between equals is unknown")
    both = Tally({result: candidate.counts.get(result, 0) + control.counts.get(result, 0) for result in RESULTS})
    first, second = _percent(both.share(Agreement.FIRST)), _percent(both.share(Agreement.SECOND))
    lines.append(
        f"judge, order swapped: contradicts itself in {_percent(both.flip_share)} ({first} for the first, {second} for the second)"
    )
    return tuple(lines)


def _preferences(tally: Tally, other: str) -> str:
    primary, candidate = tally.share(Winner.PRIMARY), tally.share(Winner.CANDIDATE)
    return f"primary better in {_percent(primary)}, {other} in {_percent(candidate)}, tie {_percent(tally.tie_share)}"


def _pairs(tally: Tally) -> str:
    return f"{tally.pairs} pair{'' if tally.pairs == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
