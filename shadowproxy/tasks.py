"""The only place where tasks are made: named, referenced, failure logged, drained at shutdown. And the guard around observer steps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class Tasks:
    """The background tasks of one process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work``; its failure is logged under ``name``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: A step that fails for every exchange is counted each time, but tells its story only so often.
_STORY_EVERY_S = 30.0


class Guard:
    """Keeps failing observer steps from reaching anything else: ``with guard("compare"): ...``.

    A failure is counted through ``on_failure(step)`` and logged by name. Cancellation passes through.
    """

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self._told_at: dict[str, float] = {}

    def __call__(self, step: str) -> _Guarded:
        return _Guarded(self, step)

    def caught(self, step: str, failure: Exception) -> None:
        """Count the failure, and tell it unless it was told a moment ago."""
        now = time.monotonic()
        if now - self._told_at.get(step, -_STORY_EVERY_S) >= _STORY_EVERY_S:
            self._told_at[step] = now
            _log.error("step %s failed", step, exc_info=failure)
        self._on_failure(step)


class _Guarded:
    """One guarded step. A class, because a generator costs five times as much, once per request."""

    __slots__ = ("_guard", "_step")

    def __init__(self, guard: Guard, step: str) -> None:
        self._guard = guard
        self._step = step

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, _: object) -> bool:
        if isinstance(failure, Exception):
            self._guard.caught(self._step, failure)
            return True
        return False
