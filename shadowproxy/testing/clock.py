"""A clock that stands still until it is told to move, for whatever takes a clock as an argument."""

from __future__ import annotations


class ManualClock:
    """Gives the same time until :meth:`advance`. Also callable, to stand in for ``time.monotonic`` and ``time.time``."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def __repr__(self) -> str:
        return f"<ManualClock {self._now_s}>"

    def __call__(self) -> float:
        return self._now_s

    def now(self) -> float:
        """The current time in seconds."""
        return self._now_s

    def advance(self, by_s: float) -> float:
        """Move on by ``by_s`` seconds and return the new time. A clock never goes back: raises :class:`ValueError`."""
        if by_s < 0:
            raise ValueError(f"cannot go back by {-by_s} s")
        self._now_s += by_s
        return self._now_s
