"""The only place where tasks are made: named, referenced, failure logged, drained at shutdown. And the guard around observer steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
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


@contextmanager
def guard(step: str, on_failure: Callable[[str], None]) -> Iterator[None]:
    """Keep a failing observer step from reaching anything else: it is logged by name and counted through ``on_failure(step)``.

    Cancellation passes through.
    """
    try:
        yield
    except Exception:  # noqa: BLE001 - this is the one place where an observer's crash must end
        _log.exception("step %s failed", step)
        on_failure(step)
