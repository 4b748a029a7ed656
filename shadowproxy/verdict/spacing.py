"""Which latencies may speak for a rollback: those that one stall cannot have made slow together. PURE.

Used by ``units``. When a machine stalls for a second, everything that it was asked meanwhile is late: fifty answers in flight are one event
and look like fifty opinions. A rollback takes ten. So of each check, route and slice only units that were issued ``apart_s`` after the one
before count against a candidate; those in between are *crowded*. Which they are is settled by when a request came, never by how it was
answered, so what is left has the mean of the whole.

For a promotion all count. It is never the matter of a moment, as a rollback is: it takes a minimum of pairs and a soak, through which one
stall of the primary is outweighed; and a hundredth of the pairs would need a hundred times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from shadowproxy.verdict import checks
from shadowproxy.verdict.limits import TAIL_MEASURES, Budget


def latencies(budgets: Iterable[Budget]) -> frozenset[str]:
    """The checks that a stall makes bad for everything in flight: the gates' own, and those of budgets of a latency."""
    return checks.LATENCIES | {budget.check for budget in budgets if budget.measure in TAIL_MEASURES}


class Spacing:
    """Remembers, of each check, route and slice, when the last unit that counts for a rollback was issued."""

    __slots__ = ("_apart_s", "_checks", "_last_s")

    def __init__(self, apart_s: float = 0.0, budgets: Iterable[Budget] = ()) -> None:
        """At ``apart_s`` of 0 nothing is crowded."""
        self._apart_s = apart_s
        self._checks = latencies(budgets)
        self._last_s: dict[tuple[str, str, str], float] = {}

    def is_crowded(self, route: str, check: str, label: str, issued_s: float | None) -> bool:
        """Whether a unit that was issued at ``issued_s`` (None: no time passes, as in files) was so near to the last that counts; if not,
        it is the last now. Units come in the order of issue."""
        if issued_s is None or self._apart_s <= 0 or check not in self._checks:
            return False
        place = (route, check, label)
        if issued_s - self._last_s.get(place, -math.inf) < self._apart_s:
            return True
        self._last_s[place] = issued_s
        return False


def all_of(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts per cell, crowded ones as what they would be without company."""
    found: dict[str, int] = {}
    for cell, n in counts.items():
        name = checks.alone(cell)
        found[name] = found.get(name, 0) + n
    return found


def apart_of(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts per cell without the crowded ones."""
    return {cell: n for cell, n in counts.items() if checks.alone(cell) == cell}
