"""What is counted: every check, the cells it has, and the paired difference D that each cell stands for. PURE.

The alphabet of ``verdict``: ``reductions`` writes in it (one pair → cells), ``gates`` reads it (cells → a mean with a margin). D > 0 is
always a worse candidate. A check whose name begins with ``aa_`` is a negative control: the control arm stands where the candidate
stands in the check of that name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

ERROR = "error"
JSON_VALID = "json_valid"
TOOL_VALID = "tool_valid"
TRUNCATED = "truncated"
STRUCTURE = "structure"
TOOLS = "tools"
FACTS = "facts"
REFUSAL = "refusal"
STRUCTURE_ABSOLUTE = "structure_absolute"
TOOLS_ABSOLUTE = "tools_absolute"
FACTS_ABSOLUTE = "facts_absolute"
REFUSAL_ABSOLUTE = "refusal_absolute"
SIMILARITY = "similarity"
SIMILARITY_ABSOLUTE = "similarity_absolute"
NOISE_FLOOR = "noise_floor"
TTFT_TAIL = "ttft_tail"
ITL_TAIL = "itl_tail"
DURATION_TAIL = "duration_tail"
COST = "cost"
TOKENS = "tokens"
JUDGE = "judge"
AA_ERROR = "aa_error"
AA_TTFT = "aa_ttft_tail"
AA_ITL = "aa_itl_tail"
AA_DURATION = "aa_duration_tail"

#: A check, and the cell of it that a pair is in.
Found = tuple[str, str]

#: Start of the name of a configured absolute budget's check: ``budget:ttft_800ms``.
BUDGET = "budget:"

BOTH_OK = "both_ok"
CANDIDATE_ONLY = "candidate_only"
REFERENCE_ONLY = "reference_only"
BOTH_BAD = "both_bad"

OK = "ok"
BAD = "bad"

#: The candidate answered, but did not report what this check measures, or we were too late to measure it. It has no D: it is taken at its
#: worst where passing is tested and at its best where failing is. So a candidate that never reports its usage neither passes by that nor
#: fails by it, and no delay of this process rolls anybody back.
UNREPORTED = "unreported"

#: End of the name of a latency's cell where the request came so near to another that one stall may have slowed both. It counts like any
#: other, but not among those that must show by themselves what a rollback rests on (see ``spacing``).
_CROWDED = ":crowded"

#: D of a yes/no check on two sides: what both share says nothing about their difference. For ``judge`` the bad side is the one that lost.
TRINOMIAL: Mapping[str, float] = MappingProxyType({BOTH_OK: 0.0, CANDIDATE_ONLY: 1.0, REFERENCE_ONLY: -1.0, BOTH_BAD: 0.0})

#: D of a yes/no check on the candidate alone.
BINARY: Mapping[str, float] = MappingProxyType({OK: 0.0, BAD: 1.0})

#: Grid steps per unit. 20 (0.05 apart, 41 values): stochastic rounding then adds 4 % to the variance of typical similarity
#: differences, and a finer grid would cost more series than it saves pairs.
_PER_UNIT = 20


def _grid_label(step: int) -> str:
    return f"{step / _PER_UNIT:+.2f}" if step else "0.00"


#: Label → D in [-1, 1], 0.05 apart.
GRID: Mapping[str, float] = MappingProxyType({_grid_label(step): step / _PER_UNIT for step in range(-_PER_UNIT, _PER_UNIT + 1)})
_LABELS = tuple(GRID)
#: The half of the grid that a distance in [0, 1] can take.
UNIT_GRID: Mapping[str, float] = MappingProxyType({label: value for label, value in GRID.items() if value >= 0})

#: Check → label → D.
CHECKS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        **dict.fromkeys((ERROR, JSON_VALID, TOOL_VALID, TRUNCATED, STRUCTURE, TOOLS, FACTS, REFUSAL, JUDGE), TRINOMIAL),
        **dict.fromkeys((TTFT_TAIL, ITL_TAIL, DURATION_TAIL), TRINOMIAL),
        **dict.fromkeys((AA_ERROR, AA_TTFT, AA_ITL, AA_DURATION), TRINOMIAL),
        **dict.fromkeys((STRUCTURE_ABSOLUTE, TOOLS_ABSOLUTE, FACTS_ABSOLUTE, REFUSAL_ABSOLUTE), BINARY),
        **dict.fromkeys((SIMILARITY, COST, TOKENS), GRID),
        **dict.fromkeys((SIMILARITY_ABSOLUTE, NOISE_FLOOR), UNIT_GRID),
    }
)

#: The checks that a stall makes bad for everything in flight. Budgets may be of a latency, too.
LATENCIES = frozenset((TTFT_TAIL, ITL_TAIL, DURATION_TAIL, AA_TTFT, AA_ITL, AA_DURATION))

_NOTHING: Mapping[str, float] = MappingProxyType({})

_MAY_BE_UNREPORTED = frozenset((COST, TOKENS, JUDGE)) | LATENCIES


def values_of(check: str) -> Mapping[str, float]:
    """Label → D of a check; empty for a check that this version does not know. A crowded cell has the D of the cell without company."""
    return BINARY if check.startswith(BUDGET) else CHECKS.get(check, _NOTHING)


def value_of(check: str, cell: str) -> float:
    """D of one cell. Raises :class:`KeyError` for a check or a cell that does not exist, or has no D."""
    return values_of(check)[cell]


def has_cell(check: str, cell: str) -> bool:
    """False for what another version of this program may have written."""
    is_budget = check.startswith(BUDGET)
    if cell.endswith(_CROWDED):
        return (is_budget or check in LATENCIES) and has_cell(check, alone(cell))
    return cell in values_of(check) or (cell == UNREPORTED and (is_budget or check in _MAY_BE_UNREPORTED))


def crowded(cell: str) -> str:
    """The cell for a pair that is the same, and crowded."""
    return cell + _CROWDED


def alone(cell: str) -> str:
    """The cell without saying whether it was crowded."""
    return cell.removesuffix(_CROWDED)


def trinomial_cell(candidate_bad: bool, reference_bad: bool) -> str:
    """The cell of a yes/no check on two sides."""
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
    return _LABELS[lower + (u < position - lower) + _PER_UNIT]
