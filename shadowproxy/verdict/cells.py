"""Mergeable counts: what one pair adds to the evidence. PURE.

Comes after ``compare`` (a :class:`~shadowproxy.exchange.Comparison` says how a pair differs) and before ``evidence`` (which turns
counts into e-values). Every check is a paired difference D per request with D > 0 where the candidate is worse. Only how often
each value of D was seen is kept, so counts of any number of processes add up to exactly the counts one process would have had.

Intention to treat: a candidate that gave no answer failed, is as unlike the primary as can be, and is slow. What was lost on our
side adds nothing here; it is counted as unresolved and the decision takes it at its worst.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from shadowproxy.exchange import Comparison, Outcome

ERROR = "error"
TTFT_TAIL = "ttft_tail"
AA_ERROR = "aa_error"
AA_TTFT = "aa_ttft_tail"
SIMILARITY = "similarity"
SIMILARITY_ABSOLUTE = "similarity_absolute"

BOTH_OK = "both_ok"
CANDIDATE_ONLY = "candidate_only"
REFERENCE_ONLY = "reference_only"
BOTH_BAD = "both_bad"

#: D of a yes/no check: what both sides share says nothing about their difference.
TRINOMIAL: Mapping[str, float] = MappingProxyType({BOTH_OK: 0.0, CANDIDATE_ONLY: 1.0, REFERENCE_ONLY: -1.0, BOTH_BAD: 0.0})

#: Grid steps per unit. 20 (0.05 apart, 41 values): stochastic rounding then adds 4 % to the variance of typical similarity
#: differences, and a finer grid would cost more series than it saves pairs.
_PER_UNIT = 20


def _grid_label(step: int) -> str:
    return f"{step / _PER_UNIT:+.2f}" if step else "0.00"


#: Label → D in [-1, 1], 0.05 apart.
GRID: Mapping[str, float] = MappingProxyType({_grid_label(step): step / _PER_UNIT for step in range(-_PER_UNIT, _PER_UNIT + 1)})
#: The half of the grid that a distance in [0, 1] can take.
UNIT_GRID: Mapping[str, float] = MappingProxyType({label: value for label, value in GRID.items() if value >= 0})

#: Check → label → D. The ``aa_`` checks are the negative controls: the control arm stands where the candidate stands in the check of
#: that name.
CHECKS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        ERROR: TRINOMIAL,
        TTFT_TAIL: TRINOMIAL,
        AA_ERROR: TRINOMIAL,
        AA_TTFT: TRINOMIAL,
        SIMILARITY: GRID,
        SIMILARITY_ABSOLUTE: UNIT_GRID,
    }
)


@dataclass(frozen=True, slots=True, order=True)
class CellKey:
    """One counter: which value of which check was seen on which route."""

    route: str
    check: str
    cell: str

    @property
    def is_known(self) -> bool:
        """False for what another version of this program may have written."""
        return self.cell in CHECKS.get(self.check, {})


Cells = Mapping[CellKey, int]


@dataclass(frozen=True, slots=True)
class TtftThreshold:
    """What counts as a slow first token: over ``primary_s`` (t*) for the primary, over ``candidate_s`` (ratio x t*) for the candidate.

    t* must be fixed before the pairs it judges; an error in it then moves the quantile that is tested, never the validity.
    """

    primary_s: float
    candidate_s: float

    def __post_init__(self) -> None:
        if not (0 < self.primary_s < math.inf and 0 < self.candidate_s < math.inf):
            raise ValueError(f"TTFT thresholds must be positive and finite, not {self.primary_s} and {self.candidate_s}")


def merge(*cells: Cells) -> dict[CellKey, int]:
    """Add up counts of the same keys. Order and grouping do not matter."""
    total: Counter[CellKey] = Counter()
    for each in cells:
        total.update(each)
    return dict(total)


def value_of(check: str, cell: str) -> float:
    """D of one cell. Raises :class:`KeyError` for a check or a cell that does not exist."""
    return CHECKS[check][cell]


def trinomial_cell(candidate_bad: bool, reference_bad: bool) -> str:
    """The cell of a yes/no check."""
    if candidate_bad:
        return BOTH_BAD if reference_bad else CANDIDATE_ONLY
    return REFERENCE_ONLY if reference_bad else BOTH_OK


def grid_cell(value: float, u: float) -> str:
    """Round ``value`` to one of its two neighbours on the grid, up with probability equal to its distance from the lower one.

    ``u`` is uniform on [0, 1). The expected rounded value is ``value`` itself, which rounding to the nearest would not give: e-values
    bound the *mean*, so the mean must survive the grid. Values a rounding error outside [-1, 1] are taken as the end.
    """
    if math.isnan(value):
        raise ValueError("a difference that is not a number has no cell")
    if not 0 <= u < 1:
        raise ValueError(f"u must be in [0, 1), not {u}")
    position = min(max(value, -1.0), 1.0) * _PER_UNIT
    lower = math.floor(position)
    return _grid_label(lower + (u < position - lower))


def observe(
    route: str,
    primary: Outcome,
    candidate: Comparison,
    control: Comparison | None,
    has_control: bool,
    ttft_threshold: TtftThreshold | None,
    u: Sequence[float],
) -> tuple[CellKey, ...]:
    """What one pair adds: each returned key counts one.

    ``control`` is None where this request was not asked again; ``has_control`` says whether the rollout has a control arm at all.
    ``ttft_threshold`` is None while t* is being measured. ``u`` holds at least one number, uniform on [0, 1), made for this pair only.

    A pair that lost its primary or its candidate on our side adds nothing. Where the primary failed only the error checks count:
    the answer that was served is the reference, and without it there is nothing to be like and no first token to be later than.
    Leaving those pairs out selects by what the primary did, which the candidate cannot influence; selecting by what the
    *candidate* did would be the complete-case trap.
    """
    if Outcome.DROPPED_LOCAL in (primary, candidate.outcome):
        return ()
    found = [(ERROR, trinomial_cell(candidate.outcome.is_failure, primary.is_failure))]
    again = control if has_control and control is not None and control.outcome is not Outcome.DROPPED_LOCAL else None
    if again is not None:
        # A failed primary counts here too, or the difference between two askings of one model would not be centred on zero.
        found.append((AA_ERROR, trinomial_cell(again.outcome.is_failure, primary.is_failure)))
    if not primary.is_failure:
        found += _ttft(TTFT_TAIL, candidate, ttft_threshold)
        if again is not None:
            found += _ttft(AA_TTFT, again, ttft_threshold)
        found += _similarity(candidate, control, u) if has_control else _similarity_absolute(candidate, u)
    return tuple(CellKey(route, check, cell) for check, cell in found)


def _ttft(check: str, other: Comparison, threshold: TtftThreshold | None) -> list[tuple[str, str]]:
    """Over the limit or not, on both sides. A primary answer without content has no TTFT, so nothing can be later than it."""
    reference_s = other.primary_timing.ttft_s
    if threshold is None or reference_s is None:
        return []
    ttft_s = other.timing.ttft_s
    is_over = other.outcome.is_failure or ttft_s is None or ttft_s > threshold.candidate_s
    return [(check, trinomial_cell(is_over, reference_s > threshold.primary_s))]


def _similarity(candidate: Comparison, control: Comparison | None, u: Sequence[float]) -> list[tuple[str, str]]:
    """s(P, P') - s(P, C), where both the noise floor and the candidate can be scored.

    A control that failed is left out, whoever's fault it was. Scoring it as 0 would be legal (it is the primary failing a second
    time) but gives D = -s(P, C): every failed control would be evidence *for* the candidate, and a control arm that shares the primary's
    rate limit and fails 5 % of the time would hide a loss of similarity of 0.04. All that is left out has D <= 0, so leaving it out can
    only make promotion harder, and it selects by the control's luck, not by anything the candidate did. That the control
    fails more often than the primary is what ``aa_error`` watches.
    """
    if control is None or control.outcome is not Outcome.OK or control.similarity is None:
        return []
    score = _score(candidate)
    return [] if score is None else [(SIMILARITY, grid_cell(control.similarity - score, u[0]))]


def _similarity_absolute(candidate: Comparison, u: Sequence[float]) -> list[tuple[str, str]]:
    """1 - s(P, C): without a control arm the noise floor is unknown and counts against the candidate."""
    score = _score(candidate)
    return [] if score is None else [(SIMILARITY_ABSOLUTE, grid_cell(min(max(1 - score, 0.0), 1.0), u[0]))]


def _score(candidate: Comparison) -> float | None:
    """Similarity to the served answer; 0 for a missing answer, None where neither side has anything to compare."""
    return 0.0 if candidate.outcome.is_failure else candidate.similarity
