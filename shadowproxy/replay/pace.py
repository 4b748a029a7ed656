"""When a request of the capture is sent again. PURE."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Requests in flight where nothing is said: enough to keep a model server's batches filled, few enough for a rented one.
CONCURRENCY = 32

#: A longer gap between two requests is shortened to this. What an arm keeps warm is cold by then, so that more of it shows nothing; and a
#: capture with one odd clock does not make a run of years.
LONGEST_GAP_S = 3600.0


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The next request goes out when one of ``concurrency`` in flight has ended."""

    concurrency: int = CONCURRENCY


@dataclass(frozen=True, slots=True)
class Schedule:
    """``due_s``: by number, seconds after the first request at which each goes out. ``shortened``: gaps that were too long to be kept."""

    due_s: array[float]
    shortened: int = 0


@dataclass(frozen=True, slots=True)
class Timed:
    """Requests go out at the distances in which they came, ``speed`` times as fast."""

    speed: float = 1.0

    def schedule(self, issued_at_s: Sequence[float]) -> Schedule:
        """``issued_at_s`` is in order, as a capture has it: what is no time is sent with the request before it."""
        with np.errstate(all="ignore"):
            gaps = np.diff(np.asarray(issued_at_s, dtype=np.float64)) / self.speed
        gaps = np.where(np.isnan(gaps), 0.0, gaps)
        kept = np.clip(gaps, 0.0, LONGEST_GAP_S)
        return Schedule(array("d", [0.0, *np.cumsum(kept).tolist()]), int((gaps > LONGEST_GAP_S).sum()))


Pace = ClosedLoop | Timed


class Turns:
    """At most ``per_s`` a second, evenly (None: no bound). An arm that asks for a pause holds every turn."""

    __slots__ = ("_gap_s", "_next_s", "held_until_s")

    def __init__(self, per_s: float | None) -> None:
        self._gap_s = 1 / per_s if per_s else 0.0
        self._next_s = 0.0
        self.held_until_s = 0.0

    def take(self, now_s: float) -> float:
        """The moment of the next turn, ``now_s`` or later. It is void where a pause goes beyond it; then take another."""
        turn_s = max(now_s, self._next_s, self.held_until_s)
        self._next_s = turn_s + self._gap_s
        return turn_s

    def hold(self, until_s: float) -> None:
        """No turn before that."""
        self.held_until_s = max(self.held_until_s, until_s)
