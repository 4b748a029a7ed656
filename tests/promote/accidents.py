"""A router and a memory in front of the real ones, that end the process, let somebody in, or look on, at a chosen moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from shadowproxy.promote.memory import Memory
from shadowproxy.promote.present import Present
from shadowproxy.promote.routers.port import Change, Note, Router

T = TypeVar("T")


class Crash(BaseException):
    """The process ends here."""


class Moments:
    """Counts the moments before and after each await on router and memory; the process ends at moment ``crash_at``, from 1."""

    def __init__(self, crash_at: int = 0) -> None:
        self.passed = 0
        self._crash_at = crash_at

    def go_by(self) -> None:
        self.passed += 1
        if self.passed == self._crash_at:
            raise Crash

    async def around(self, work: Awaitable[T]) -> T:
        try:
            self.go_by()
        except Crash:
            if hasattr(work, "close"):
                work.close()
            raise
        result = await work
        self.go_by()
        return result


class WatchedRouter:
    """``before_make`` is called once, right before the first change is made. ``made`` counts changes that were made."""

    def __init__(self, router: Router, moments: Moments | None = None, before_make: Callable[[], None] | None = None) -> None:
        self._router = router
        self._moments = moments or Moments()
        self._before_make = before_make
        self.made = 0

    @property
    def carries_memory(self) -> bool:
        return self._router.carries_memory

    async def read(self) -> Present:
        return await self._moments.around(self._router.read())

    def weigh(self, present: Present, percent: int, note: Note) -> tuple[Change, ...]:
        return self._router.weigh(present, percent, note)

    def restore(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self._router.restore(present, note)

    def remember(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self._router.remember(present, note)

    def disown(self, present: Present) -> tuple[Change, ...]:
        return self._router.disown(present)

    async def make(self, change: Change) -> None:
        if self._before_make is not None:
            meddle, self._before_make = self._before_make, None
            meddle()
        await self._moments.around(self._router.make(change))
        self.made += 1

    async def close(self) -> None:
        await self._router.close()


class WatchedMemory:
    def __init__(self, memory: Memory, moments: Moments) -> None:
        self._memory = memory
        self._moments = moments

    async def read(self) -> str | None:
        return await self._moments.around(self._memory.read())

    async def write(self, record: str) -> None:
        await self._moments.around(self._memory.write(record))

    def command(self, record: str) -> str:
        return self._memory.command(record)


def watched(parts: tuple[Router, Memory | None], moments: Moments) -> tuple[Any, Any]:
    router, memory = parts
    return WatchedRouter(router, moments), None if memory is None else WatchedMemory(memory, moments)
