"""Mergeable counts: what one pair adds to the evidence. PURE.

Between ``reductions`` (which cell of each check a pair is in) and ``evidence`` (which turns counts into e-values). Only how often each cell
was seen is kept, so counts of any number of processes add up to exactly the counts one process would have had, and a million
pairs take no more memory than ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shadowproxy.exchange import Comparison, Outcome
from shadowproxy.verdict.checks import has_cell
from shadowproxy.verdict.limits import Limits
from shadowproxy.verdict.reductions import PairOutcome, Preference, reduce

#: Checks that judge our instrument and not the candidate: slicing them would only cost series.
_UNSLICED = ("aa_", "noise_floor")


class CellKey(NamedTuple):
    """One counter: which cell of which check was seen on one route, or in one slice of the pairs of all routes.

    ``slice`` is ``dimension=value`` (see ``slices``), and then ``route`` is empty: counted by route *and* slice, the number of counters
    would be the product of both. A pair counts once for its route and once for each of its slices.

    A tuple, because a pair makes dozens and every look hashes thousands: half the time of a frozen dataclass to make, a fifth to hash.
    """

    route: str
    check: str
    cell: str
    slice: str = ""

    @property
    def is_known(self) -> bool:
        """False for what another version of this program may have written."""
        return has_cell(self.check, self.cell)


Cells = Mapping[CellKey, int]


def merge(*cells: Cells) -> dict[CellKey, int]:
    """Add up counts of the same keys. Order and grouping do not matter."""
    total: Counter[CellKey] = Counter()
    for each in cells:
        total.update(each)
    return dict(total)


def observe(
    route: str,
    primary: Outcome,
    candidate: Comparison,
    control: Comparison | None,
    has_control: bool,
    limits: Limits,
    u: float,
    slices: Sequence[str] = (),
    preference: Preference | None = None,
) -> tuple[CellKey, ...]:
    """What one pair adds: each returned key counts one. The arguments are those of :class:`~shadowproxy.verdict.reductions.PairOutcome`.

    ``slices`` are the labels of the pair, at most one of each dimension. A pair that was lost on our side adds nothing.
    """
    found = reduce(PairOutcome(primary, candidate, control, has_control, limits, u, preference))
    keys = [CellKey(route, check, cell) for check, cell in found]
    for label in slices:
        keys += [CellKey("", check, cell, label) for check, cell in found if not check.startswith(_UNSLICED)]
    return tuple(keys)
