"""Units of observation: pairs of one session become one observation, so that observations are independent. PURE.

Between ``cells`` (what one pair adds) and the counts. Requests of one session resemble each other: six requests of a user with a hard
problem are one hard problem. Counted singly they look like six opinions that agree, and a candidate exactly at its margin is then
promoted, or rolled back, in a quarter of all rollouts instead of a twentieth. So a session's pairs are held back for a while and their
*mean* D is counted, once, rounded to a cell of the check by chance, so that the expected D is that mean.

Without a session a prompt is the unit: it counts at once, and the same prompt within the window counts no second time. What the gates
speak of is the mean over units, not over requests.

A session is closed by time and number, never by what was answered. Nothing here knows the time or draws a number: both come in.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shadowproxy.verdict import checks
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.spacing import Spacing

#: A number uniform on [0, 1), new for each call.
Draw = Callable[[], float]

#: (route, check, slice): where one unit counts once.
_Place = tuple[str, str, str]

#: (route, slice): where a unit is crowded or not.
_Where = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """When a session is closed: ``idle_s`` after its last pair, at its next pair after ``max_s``, or at ``max_pairs``.

    5 min is longer than most people think about an answer; 20 pairs keep a script that never pauses from being one single observation.
    ``max_open`` bounds memory: the session that has been idle longest is closed early. The same bound holds for remembered prompts.
    """

    idle_s: float = 300.0
    max_s: float = 1800.0
    max_pairs: int = 20
    max_open: int = 10_000

    def __post_init__(self) -> None:
        if not (self.idle_s > 0 and self.max_s > 0 and self.max_pairs > 0 and self.max_open > 0):
            raise ValueError(f"a window needs positive bounds, not {self}")


@dataclass(frozen=True, slots=True)
class Observed:
    """What adding a pair, or letting time pass, gives to be counted: the ``cells`` of so many ``units``.

    ``pairs`` says by route how many pairs are accounted for with that, repeats included. ``is_duplicate`` for a pair that counts nothing,
    because its prompt was seen in the same unit.
    """

    cells: tuple[CellKey, ...] = ()
    units: int = 0
    is_duplicate: bool = False
    pairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Session:
    opened_at_s: float
    last_at_s: float
    prompts: set[str] = field(default_factory=set)
    pairs: Counter[str] = field(default_factory=Counter)
    seen: dict[_Place, Counter[str]] = field(default_factory=dict)
    crowded: dict[_Where, bool] = field(default_factory=dict)

    def add(self, prompt: str, keys: Iterable[CellKey]) -> None:
        """A pair with a prompt that is new here."""
        self.prompts.add(prompt)
        for key in keys:
            self.seen.setdefault((key.route, key.check, key.slice), Counter())[key.cell] += 1


class Sessions:
    """Sessions that are still open. Each pair's cells go in, each unit's cells come out once.

    A process that dies takes its open sessions along: their pairs were issued and never counted, which the decision sees as lost.
    """

    __slots__ = ("_draw", "_open", "_prompts", "_spacing", "_window")

    def __init__(self, window: Window, draw: Draw, spacing: Spacing | None = None) -> None:
        self._window = window
        self._draw = draw
        self._spacing = Spacing() if spacing is None else spacing
        # Both in the order of the last pair, so that what is idle stands in front.
        self._open: OrderedDict[str, _Session] = OrderedDict()
        self._prompts: OrderedDict[str, float] = OrderedDict()

    def __repr__(self) -> str:
        pairs = self.pending_pairs().total()
        return f"<Sessions {len(self._open)} open with {pairs} pairs, {len(self._prompts)} prompts>"

    def pending_pairs(self) -> Counter[str]:
        """By route, pairs that were added and are not accounted for yet."""
        return sum((session.pairs for session in self._open.values()), Counter())

    def add(self, route: str, session: str, prompt: str, keys: Sequence[CellKey], now_s: float, came_s: float | None = None) -> Observed:
        """A pair of ``session`` (empty: it has none) with a ``prompt`` (its digest), whose request came at ``came_s`` (None where
        no time passes). ``now_s`` must not go backwards."""
        closed = self._expired(now_s)
        if session:
            is_duplicate = not self._add_to(session, route, prompt, keys, now_s, came_s, closed)
            return replace(self._observed(closed), is_duplicate=is_duplicate)
        is_new = self._remember(prompt, now_s)
        before = self._observed(closed)
        own = Observed(self._spaced(keys, came_s), 1) if is_new else Observed(is_duplicate=True)
        return Observed(
            (*before.cells, *own.cells), before.units + own.units, own.is_duplicate, Counter(before.pairs) + Counter({route: 1})
        )

    def expire(self, now_s: float) -> Observed:
        """Close what has been idle for too long."""
        return self._observed(self._expired(now_s))

    def close(self) -> Observed:
        """Close everything: the rollout ends, or the process does."""
        closed = list(self._open.values())
        self._open.clear()
        return self._observed(closed)

    def _spaced(self, keys: Sequence[CellKey], came_s: float | None) -> tuple[CellKey, ...]:
        """The cells of a unit by itself."""
        crowded: dict[_Where, bool] = {}
        self._draw_lots(crowded, keys, came_s)
        return tuple([key._replace(cell=checks.crowded(key.cell)) if self._is_crowded(key, crowded) else key for key in keys])

    def _draw_lots(self, crowded: dict[_Where, bool], keys: Iterable[CellKey], came_s: float | None) -> None:
        """Say of each place of a unit whether it is crowded there, where that is not said yet."""
        if came_s is None or not self._spacing.applies(came_s):
            return
        u = self._draw()
        for key in keys:
            where = (key.route, key.slice)
            if where not in crowded:
                crowded[where] = self._spacing.is_crowded(key.route, key.slice, came_s, u)

    def _is_crowded(self, key: CellKey, crowded: Mapping[_Where, bool]) -> bool:
        return key.check in self._spacing.checks and crowded.get((key.route, key.slice), False)

    def _add_to(
        self,
        name: str,
        route: str,
        prompt: str,
        keys: Sequence[CellKey],
        now_s: float,
        came_s: float | None,
        closed: list[_Session],
    ) -> bool:
        """False where the session has seen the prompt. Sessions that this closes are appended to ``closed``."""
        session = self._open.pop(name, None)
        if session is not None and now_s - session.opened_at_s >= self._window.max_s:
            closed.append(session)
            session = None
        if session is None:
            session = _Session(now_s, now_s)
        is_new = prompt not in session.prompts
        session.last_at_s = now_s
        session.pairs[route] += 1
        if is_new:
            # Drawn once, by the first pair: of a session's minutes one stall is a small part.
            self._draw_lots(session.crowded, keys, came_s)
            session.add(prompt, keys)
        if len(session.prompts) >= self._window.max_pairs:
            closed.append(session)
            return is_new
        self._open[name] = session
        if len(self._open) > self._window.max_open:
            closed.append(self._open.popitem(last=False)[1])
        return is_new

    def _remember(self, prompt: str, now_s: float) -> bool:
        """False where the prompt was counted within the window."""
        while self._prompts and now_s - next(iter(self._prompts.values())) >= self._window.idle_s:
            self._prompts.popitem(last=False)
        if prompt in self._prompts:
            return False
        self._prompts[prompt] = now_s
        if len(self._prompts) > self._window.max_open:
            self._prompts.popitem(last=False)
        return True

    def _expired(self, now_s: float) -> list[_Session]:
        closed = []
        while self._open and now_s - next(iter(self._open.values())).last_at_s >= self._window.idle_s:
            closed.append(self._open.popitem(last=False)[1])
        return closed

    def _observed(self, closed: Sequence[_Session]) -> Observed:
        sessions = [session for session in closed if session.seen]
        cells = tuple(self._cell(session, place) for session in sessions for place in session.seen)
        return Observed(cells, len(sessions), pairs=sum((session.pairs for session in closed), Counter()))

    def _cell(self, session: _Session, place: _Place) -> CellKey:
        route, check, label = place
        key = CellKey(route, check, cell_of_mean(check, session.seen[place], self._draw()), label)
        return key._replace(cell=checks.crowded(key.cell)) if self._is_crowded(key, session.crowded) else key


def cell_of_mean(check: str, seen: Mapping[str, int], u: float) -> str:
    """One cell of ``check`` whose expected D is the mean D of all ``seen``.

    ``u`` is uniform on [0, 1). Yes/no cells keep the rates of both sides as well: a session in which both failed half of the time
    is counted as both failing with chance one half.
    """
    total = sum(seen.values())
    unreported = seen.get(checks.UNREPORTED, 0) / total
    if u < unreported:
        return checks.UNREPORTED
    u = (u - unreported) / (1 - unreported)
    known = {cell: n for cell, n in seen.items() if cell != checks.UNREPORTED}
    values = checks.values_of(check)
    if values is checks.TRINOMIAL:
        return _trinomial_of_mean(known, u)
    if values is checks.BINARY:
        return checks.BAD if u < known.get(checks.BAD, 0) / sum(known.values()) else checks.OK
    return checks.grid_cell(sum(values[cell] * n for cell, n in known.items()) / sum(known.values()), u)


def _trinomial_of_mean(seen: Mapping[str, int], u: float) -> str:
    """What the two sides have in common is taken off first, so that the cell varies as little as it can."""
    total = sum(seen.values())
    candidate, reference = (seen.get(cell, 0) / total for cell in (checks.CANDIDATE_ONLY, checks.REFERENCE_ONLY))
    shared = min(candidate, reference)
    both_bad = seen.get(checks.BOTH_BAD, 0) / total + shared
    for cell, chance in (
        (checks.CANDIDATE_ONLY, candidate - shared),
        (checks.REFERENCE_ONLY, reference - shared),
        (checks.BOTH_BAD, both_bad),
    ):
        if u < chance:
            return cell
        u -= chance
    return checks.BOTH_OK
