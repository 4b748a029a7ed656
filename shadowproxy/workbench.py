"""One thread for computing, beside an event loop that has to keep time.

Comparing two long answers takes milliseconds. On the loop they would be added to the latency of every copy that is in flight, and the arms
would look slower than they are. Results come back on the loop; several pieces of work share a trip to the thread, which costs more than the
smallest of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shadowproxy.tasks import Tasks

#: Pieces of work per trip. More would keep the first result waiting for the last.
_PER_TRIP = 16


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    done: Callable[[Any], None]


class Workbench:
    """Use between construction on a running loop and :meth:`close`. Bounded by its callers: each keeps count of what it has handed in."""

    def __init__(self, name: str, tasks: Tasks) -> None:
        self._name = name
        self._tasks = tasks
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: deque[_Job] = deque()
        self._is_working = False
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Workbench {self._name} {len(self._waiting)} waiting>"

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Have ``work`` done on the thread and ``done`` called on the loop with what it returned, in the order of submission.

        ``work`` must not raise: a failure is a value that it returns. Work that is handed in after :meth:`close` is never done.
        """
        if self._is_closed:
            return
        self._waiting.append(_Job(work, done))
        if not self._is_working:
            self._is_working = True
            self._tasks.start(self._name, self._work())

    async def _work(self) -> None:
        try:
            while self._waiting and not self._is_closed:
                jobs = [self._waiting.popleft() for _ in range(min(_PER_TRIP, len(self._waiting)))]
                results = await asyncio.get_running_loop().run_in_executor(self._thread, _all_of, jobs)
                for job, result in zip(jobs, results, strict=True):
                    job.done(result)
        finally:
            self._is_working = False

    def close(self) -> None:
        """Do nothing more; what is being done comes to its end unseen."""
        self._is_closed = True
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _all_of(jobs: list[_Job]) -> list[Any]:
    return [job.work() for job in jobs]
