"""When a request of the capture is sent again. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Requests in flight where nothing is said: enough to keep a model server's batches filled, few enough for a rented one.
CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The next request goes out when one of ``concurrency`` in flight has ended."""

    concurrency: int = CONCURRENCY


@dataclass(frozen=True, slots=True)
class Timed:
    """Requests go out at the distances in which they came, ``speed`` times as fast."""

    speed: float = 1.0

    def due_s(self, issued_at_s: Sequence[float], number: int) -> float:
        """Seconds after the start at which request ``number`` goes out."""
        return (issued_at_s[number] - issued_at_s[0]) / self.speed


Pace = ClosedLoop | Timed


class Turns:
    """At most ``per_s`` a second, evenly (None: no bound). An arm that asks for a pause holds every turn."""

    __slots__ = ("_gap_s", "_next_s", "held_until_s")

    def __init__(self, per_s: float | None) -> None:
        self._gap_s = 1 / per_s if per_s else 0.0
        self._next_s = 0.0
        self.held_until_s = 0.0

    def take(self, now_s: float) -> float:
        """The moment of the next turn, ``now_s`` or later."""
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._gap_s
        return turn_s

    def hold(self, until_s: float) -> None:
        """No turn before that."""
        self.held_until_s = max(self.held_until_s, until_s)
