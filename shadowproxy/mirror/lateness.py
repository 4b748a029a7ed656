"""How late this process is to see what arrives, so that its own delays are not taken for an arm's.

The process that times copies also compares answers. While one long computation holds the interpreter, or the machine has no time for it,
answers lie unread in the kernel and seem slow. A short beat runs while copies are on their way; what it comes late by is what anything
read at that moment may have waited. So a measured time is known to lie between itself less that and itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

#: Seconds between two beats. With a thread that computes, the interpreter changes hands every 5 ms.
BEAT_S: Final = 0.005
#: A beat that is late by less is the resolution of timers, and every latency gate allows more than that.
_NOTED_S: Final = 0.005


class Lateness:
    """The delays of one event loop, for as long as somebody asks for them."""

    __slots__ = ("_due", "_holders", "_timer", "_total_s")

    def __init__(self) -> None:
        self._holders = 0
        self._due = 0.0
        self._total_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        """Somebody's time begins to run. To be called on the loop, as often as :meth:`release`."""
        self._holders += 1
        if self._timer is None:
            self._wait(time.monotonic())

    def release(self) -> None:
        """It ended."""
        self._holders -= 1

    def total_s(self, now: float) -> float:
        """All delays so far in seconds, with the one that has not ended. ``now`` is monotonic."""
        late_s = now - self._due if self._timer is not None else 0.0
        return self._total_s + late_s if late_s > _NOTED_S else self._total_s

    def _beat(self) -> None:
        now = time.monotonic()
        self._total_s = self.total_s(now)
        self._timer = None
        if self._holders > 0:
            self._wait(now)

    def _wait(self, now: float) -> None:
        self._due = now + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)


async def next_look(every_s: float) -> None:
    """Wait until overdue copies may be looked for. What came while this process could not look is read first: it is not overdue."""
    await asyncio.sleep(every_s)
    await asyncio.sleep(0)
