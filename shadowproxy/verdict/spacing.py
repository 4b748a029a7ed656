"""Which latencies may speak for a rollback: about one of all that a single stall can have made slow together. PURE.

Used by ``units``. When a machine stalls for a second, everything that it was asked meanwhile is late: fifty answers in flight are one event
and look like fifty opinions. A rollback takes ten. So of the units of each route and slice that came within ``apart_s`` about one, drawn by
lot, is asked by itself: a rollback takes that these show it, and that all together do. The others are *crowded*.

By lot, and not the first of them: which unit is first to be known depends on how fast it was answered, and the first after a lull meets
cold connections. A lot knows nothing of either, so what is left has the mean of the whole. The chance is one in the number of units that
one usually comes with, itself included (the mean of n^2 over that of n, for the units of each window of time), and at most one in those of
its window that are known already: a burst larger than any before is not taken for as many events.

For a promotion all count. It is never the matter of a moment, as a rollback is: it takes a minimum of pairs and a soak, through which one
stall of the primary is outweighed; and a hundredth of the pairs would need a hundred times as long.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping

from shadowproxy.verdict import checks
from shadowproxy.verdict.limits import TAIL_MEASURES, Budget
from shadowproxy.verdict.slices import dimension_of
from shadowproxy.verdict.strata import MIN_SHARE

#: Windows of which each crowd remembers how many units came. Answers take minutes at most, and units come in the order of answers.
_WINDOWS = 100


def latencies(budgets: Iterable[Budget]) -> frozenset[str]:
    """The checks that a stall makes bad for everything in flight: the gates' own, and those of budgets of a latency."""
    return checks.LATENCIES | {budget.check for budget in budgets if budget.measure in TAIL_MEASURES}


class _Crowd:
    """How many units come together: ``units`` in all, and the sum of the squares of how many came in each window."""

    __slots__ = ("squares", "units", "windows")

    def __init__(self) -> None:
        self.units = 0
        self.squares = 0
        self.windows: OrderedDict[int, int] = OrderedDict()

    def join(self, window: int) -> float:
        """One more came in ``window``. How many it comes with, itself included."""
        here = self.windows[window] = self.windows.get(window, 0) + 1
        if len(self.windows) > _WINDOWS:
            self.windows.popitem(last=False)
        self.units += 1
        self.squares += 2 * here - 1
        return max(self.squares / self.units, here)


class Spacing:
    """Remembers, of each route and slice, how its units came. Those under the share from which they are judged by themselves are judged
    together, and so are one crowd."""

    __slots__ = ("_apart_s", "_crowds", "_members", "checks")

    def __init__(self, apart_s: float = 0.0, budgets: Iterable[Budget] = ()) -> None:
        """At ``apart_s`` of 0 nothing is crowded. ``checks`` are those whose cells may be."""
        self._apart_s = apart_s
        self.checks = latencies(budgets)
        self._crowds: dict[tuple[str, str], _Crowd] = {}
        self._members: dict[str, Counter[str]] = {}

    def applies(self, came_s: float | None) -> bool:
        """False where nothing is crowded: also where no time passes (``came_s`` of None), as in files."""
        return came_s is not None and self._apart_s > 0

    def is_crowded(self, route: str, label: str, came_s: float, u: float) -> bool:
        """Whether a unit of this route or slice, whose request came at ``came_s``, does not count for a rollback. ``u`` is uniform on
        [0, 1), drawn for this unit. Ask once for each place of a unit, also of a unit without a latency."""
        dimension = dimension_of(label) if label else ""
        members = self._members.setdefault(dimension, Counter())
        name = label or route
        members[name] += 1
        is_small = members[name] < MIN_SHARE * members.total()
        crowd = self._crowds.setdefault((dimension, "" if is_small else name), _Crowd())
        return u * crowd.join(int(came_s // self._apart_s)) >= 1


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
