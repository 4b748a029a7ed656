"""Where the workers of a run on Ray say how far they are and hear whether to go on. An actor of its own keeps it.

No Ray here: what stands on the board, and how it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shadowproxy.replay.progress import in_words


@dataclass(slots=True)
class Standing:
    """How far one share is. ``total``: its requests; ``compared`` of them are done, ``before`` by an earlier run."""

    total: int = 0
    before: int = 0
    compared: int = 0
    is_done: bool = False


@dataclass(slots=True)
class Picture:
    """Everything on the board."""

    shares: dict[int, Standing] = field(default_factory=dict)

    def line(self, shards: int, elapsed_s: float) -> str:
        """Where the run is, in a line. Shares that have not begun are taken to be as large as the largest that has."""
        done = sum(each.is_done for each in self.shares.values())
        said = f"{done} of {shards} shards done"
        if not self.shares:
            return said
        largest = max(each.total for each in self.shares.values())
        total = sum(each.total for each in self.shares.values()) + largest * (shards - len(self.shares))
        compared = sum(each.compared for each in self.shares.values())
        rate = sum(each.compared - each.before for each in self.shares.values()) / max(elapsed_s, 1e-9)
        said += f", {compared:,} of {'about ' if len(self.shares) < shards else ''}{total:,} requests compared"
        return f"{said}, {in_words((total - compared) / rate)} left" if rate > 0 and compared < total else said


class Board:
    """What the actor is. Every call is short."""

    def __init__(self) -> None:
        self._picture = Picture()
        self._is_stopping = False

    def begin(self, index: int, total: int, before: int) -> bool:
        """Share ``index`` begins, or begins again where its worker died. False: the run is being stopped."""
        self._picture.shares[index] = Standing(total, before, before)
        return not self._is_stopping

    def tell(self, index: int, compared: int) -> bool:
        """So many requests of the share are compared by now. False: stop."""
        self._picture.shares[index].compared = compared
        return not self._is_stopping

    def end(self, index: int, total: int, *, is_done: bool) -> None:
        """The share is over; ``is_done``: all of it is compared."""
        standing = self._picture.shares.setdefault(index, Standing(total, total))
        standing.is_done = is_done
        if is_done:
            standing.compared = standing.total

    def goes_on(self) -> bool:
        return not self._is_stopping

    def stop(self) -> None:
        """From now on nothing begins, and what has begun ends early."""
        self._is_stopping = True

    def look(self) -> Picture:
        return self._picture
