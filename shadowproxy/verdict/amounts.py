"""Latency, cost and tokens of one pair → cells of the tail, ratio and budget checks. PURE.

A part of ``reductions``, which says for which pairs. What can be measured is a table, and so is what is made of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shadowproxy.exchange import Comparison, Side, Timing
from shadowproxy.verdict import checks, limits
from shadowproxy.verdict.checks import Found
from shadowproxy.verdict.limits import Limits, Ratio, TailThreshold

_WORST = 1.0

#: Tokens of one answer that a report may claim. Far above any model's; below what a float holds exactly.
_MOST_TOKENS = 10**12


def _ttft_s(timing: Timing, _side: Side) -> float | None:
    return timing.ttft_s


def _itl_s(timing: Timing, _side: Side) -> float | None:
    return timing.itl_mean_s


def _duration_s(timing: Timing, _side: Side) -> float | None:
    return timing.duration_s


def _cost(_timing: Timing, side: Side) -> float | None:
    return side.cost if side.cost is not None and math.isfinite(side.cost) else None


def _tokens(_timing: Timing, side: Side) -> float | None:
    """As reported, which may be anything: what is no possible number is cut to one."""
    return None if side.completion_tokens is None else float(min(max(side.completion_tokens, 0), _MOST_TOKENS))


def _no_error(_timing: Timing, _side: Side) -> float | None:
    return 0.0


def _exact(_timing: Timing) -> float:
    return 0.0


def _ttft_late_s(timing: Timing) -> float:
    return timing.ttft_late_s


def _itl_late_s(timing: Timing) -> float:
    return timing.itl_late_s


def _duration_late_s(timing: Timing) -> float:
    return timing.duration_late_s


@dataclass(frozen=True, slots=True)
class _Measure:
    """An amount of an answer. ``silence`` is the cell of a candidate that answered without showing it, where the primary showed its own.

    ``late_s``: how much of the amount may be a delay of ours.
    """

    of: Callable[[Timing, Side], float | None]
    silence: str
    late_s: Callable[[Timing], float] = _exact

    def primary(self, other: Comparison) -> float | None:
        return self.of(other.primary_timing, other.primary_side)

    def cell(self, other: Comparison, limit: float) -> str | None:
        """Over the limit or not, ``unreported`` where that depends on a delay of ours; None where not even the primary showed the
        amount, so that nothing can be over it."""
        if self.primary(other) is None:
            return None
        if other.outcome.is_failure:
            return checks.BAD
        own = self.of(other.timing, other.side)
        if own is None:
            return self.silence
        if own <= limit:
            return checks.OK
        return checks.BAD if own - self.late_s(other.timing) > limit else checks.UNREPORTED


_MEASURES: Mapping[str, _Measure] = MappingProxyType(
    {
        limits.TTFT: _Measure(_ttft_s, checks.BAD, _ttft_late_s),  # it ended without ever saying anything
        limits.ITL: _Measure(_itl_s, checks.OK, _itl_late_s),  # all of it came at once
        limits.DURATION: _Measure(_duration_s, checks.BAD, _duration_late_s),
        limits.COST: _Measure(_cost, checks.UNREPORTED),
        limits.TOKENS: _Measure(_tokens, checks.UNREPORTED),
        limits.ERROR: _Measure(_no_error, checks.BAD),
    }
)

_TAILS: tuple[tuple[str, str, str], ...] = (
    (limits.TTFT, checks.TTFT_TAIL, checks.AA_TTFT),
    (limits.ITL, checks.ITL_TAIL, checks.AA_ITL),
    (limits.DURATION, checks.DURATION_TAIL, checks.AA_DURATION),
)

_RATIOS: tuple[tuple[str, str], ...] = ((limits.COST, checks.COST), (limits.TOKENS, checks.TOKENS))


def tails(candidate: Comparison, again: Comparison | None, given: Limits) -> list[Found]:
    """Over the limit of each tail or not, on both sides; and the same with the control (``again``) in the candidate's place."""
    found: list[Found] = []
    for measure, check, aa_check in _TAILS:
        threshold = given.tails.get(measure)
        if threshold is not None:
            found += _tail(check, _MEASURES[measure], candidate, threshold)
            if again is not None:
                found += _tail(aa_check, _MEASURES[measure], again, threshold)
    return found


def _tail(check: str, measure: _Measure, other: Comparison, threshold: TailThreshold) -> list[Found]:
    """1[c > ratio t*] - 1[p > t*]."""
    cell, reference_s = measure.cell(other, threshold.candidate_s), measure.primary(other)
    if cell is None or reference_s is None:
        return []
    if cell == checks.UNREPORTED:
        return [(check, cell)]
    return [(check, checks.trinomial_cell(cell == checks.BAD, reference_s > threshold.primary_s))]


def ratios(candidate: Comparison, given: Limits, u: float) -> list[Found]:
    """(c - r p) on the grid."""
    found = []
    for measure, check in _RATIOS:
        ratio = given.ratios.get(measure)
        if ratio is not None and (cell := _ratio_cell(_MEASURES[measure], candidate, ratio, u)):
            found.append((check, cell))
    return found


def _ratio_cell(measure: _Measure, candidate: Comparison, ratio: Ratio, u: float) -> str:
    """Empty where the primary's amount is not known. A missing answer is as dear as can be."""
    reference = measure.primary(candidate)
    if reference is None:
        return ""
    if candidate.outcome.is_failure:
        return checks.grid_cell(_WORST, u)
    own = measure.of(candidate.timing, candidate.side)
    return measure.silence if own is None else checks.grid_cell(ratio.difference(own, reference), u)


def budgets(candidate: Comparison, given: Limits) -> list[Found]:
    """1[c > limit] of each absolute budget."""
    found = [(budget.check, _MEASURES[budget.measure].cell(candidate, budget.limit)) for budget in given.budgets]
    return [(check, cell) for check, cell in found if cell is not None]
