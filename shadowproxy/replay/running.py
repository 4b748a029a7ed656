"""The run: asks what is not answered yet, keeps each answer at once, has complete requests compared. Stopped, it loses nothing.

Only this module waits. What is asked when is said by ``pace``, which arms by ``plan``.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from shadowproxy.errors import StartError
from shadowproxy.exchange import PRIMARY, Exchange, Outcome
from shadowproxy.journal.reader import Unseal
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.replay.catalogue import Catalogue
from shadowproxy.replay.comparing import BATCH, Job, Pool
from shadowproxy.replay.lanes import Lane
from shadowproxy.replay.pace import ClosedLoop, Pace, Timed
from shadowproxy.replay.plan import Plan, whole
from shadowproxy.replay.till import Till
from shadowproxy.replay.work import Kept, Work

#: How often deadlines of copies are looked at, and what waits to be compared although it fills no batch.
_SWEEP_S = 0.1
_IDLE_S = 0.5

#: When a run is stopped, how long answers on their way may take to arrive.
_PATIENCE_S = 5.0

#: Bytes of answered requests that may wait to be compared. Past it no more are asked: memory is bounded, and what is kept is on the disk.
_BACKLOG_BYTES = 256 * 1024 * 1024

#: Requests in flight at a given pace. Arms that answer nothing for minutes are waited for rather than flooded.
_MOST_IN_FLIGHT = 10_000


class Recorder(Protocol):
    """Makes of an exchange what is kept of it, redacted. ``known`` is what was in the capture already."""

    def __call__(self, exchange: Exchange, known: Record) -> ArmRecord: ...


class Watcher(Protocol):
    """Is told of so many more requests."""

    def asked(self, requests: int) -> None:
        """Every arm has answered them."""

    def compared(self, requests: int) -> None:
        """They are compared."""


@dataclass(slots=True)
class Done:
    """What a run did: requests asked and compared, answers kept. ``late_s``: the most that a request went out after its time, at a given
    pace."""

    asked: int = 0
    answers: int = 0
    compared: int = 0
    late_s: float = 0.0
    is_stopped: bool = False


@dataclass(slots=True)
class _Backlog:
    """Complete requests on their way to a comparator."""

    jobs: deque[Job] = field(default_factory=deque)
    size_bytes: int = 0
    in_work: int = 0


class Run:
    """One run over ``numbers`` of the catalogue. ``kept``: answers of an earlier run."""

    def __init__(
        self,
        catalogue: Catalogue,
        numbers: Sequence[int],
        kept: Kept,
        plan: Plan,
        lanes: Mapping[str, Lane],
        work: Work,
        pool: Pool,
        record: Recorder,
        watcher: Watcher,
        unseal: Unseal | None,
        till: Till,
    ) -> None:
        self._till = till
        self._catalogue = catalogue
        self._numbers = numbers
        self._kept = kept
        self._plan = plan
        self._lanes = lanes
        self._work = work
        self._pool = pool
        self._record = record
        self._watcher = watcher
        self._unseal = unseal
        self._encoder = msgspec.json.Encoder()
        self._backlog = _Backlog()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_stopping = False
        self._flying = 0
        self.done = Done()

    async def run(self, pace: Pace, stop: asyncio.Event) -> Done:
        """Until everything is compared, or ``stop`` is set. Raises :class:`StartError` where an arm was never reached, or where the disk
        does not take what came."""
        asking = asyncio.ensure_future(self._ask_all(pace))
        stopping = asyncio.ensure_future(stop.wait())
        async with self._swept():
            try:
                await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    asking.result()
                    comparing = asyncio.ensure_future(self._compare_rest())
                    await asyncio.wait((comparing, stopping), return_when=asyncio.FIRST_COMPLETED)
                    if comparing.done():
                        comparing.result()
                self.done.is_stopped = stop.is_set()
                await self._wait_for_flying()
            finally:
                for task in (asking, stopping):
                    task.cancel()
                await asyncio.gather(asking, stopping, return_exceptions=True)
        self._work.check()
        return self.done

    async def _wait_for_flying(self) -> None:
        """Answers that are on their way when the run is stopped may be paid for already."""
        self._is_stopping = True
        patience_s = time.monotonic() + _PATIENCE_S
        while self._flying and time.monotonic() < patience_s:
            await asyncio.sleep(0.02)

    # --- ask ------------------------------------------------------------------------------------------------------------

    async def _ask_all(self, pace: Pace) -> None:
        requests = self._catalogue.requests(self._numbers, self._unseal)
        try:
            async with asyncio.TaskGroup() as group:
                if isinstance(pace, ClosedLoop):
                    for _ in range(pace.concurrency):
                        group.create_task(self._ask_one_after_the_other(requests))
                else:
                    await self._ask_in_time(requests, pace, group)
        except ExceptionGroup as exc:
            raise _first(exc) from exc

    async def _ask_one_after_the_other(self, requests: Iterator[tuple[int, Record]]) -> None:
        while not self._is_stopping and (following := next(requests, None)) is not None:  # shared: each takes the next
            await self._room()
            await self._ask(*following)

    async def _ask_in_time(self, requests: Iterator[tuple[int, Record]], pace: Timed, group: asyncio.TaskGroup) -> None:
        """Distances are kept from the first request that is not done: a run that goes on does not hurry after the clock."""
        slots = asyncio.Semaphore(_MOST_IN_FLIGHT)
        started_s = first_s = -1.0
        for number, record in requests:
            due_s = pace.due_s(self._catalogue.issued_at_s, number)
            if started_s < 0:
                started_s, first_s = time.monotonic(), due_s
            await self._room()
            await slots.acquire()
            wait_s = started_s + due_s - first_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self._is_stopping:
                return
            self.done.late_s = max(self.done.late_s, time.monotonic() - (started_s + due_s - first_s))
            task = group.create_task(self._ask(number, record))
            task.add_done_callback(lambda _: slots.release())

    async def _room(self) -> None:
        """Wait while too much waits to be compared."""
        self._work.check()
        await self._has_room.wait()
        if self._failure is not None:
            raise self._failure

    async def _ask(self, number: int, record: Record) -> None:
        """Ask every arm that this request has no answer of."""
        arms = self._plan.arms(record)
        answers = self._kept.take(self._catalogue.key(number)) | self._plan.taken(record)
        missing = [arm for arm in arms if arm not in answers]
        if missing:
            primary = _asked_for(record)
            self._flying += 1
            try:
                found = await asyncio.gather(*(self._ask_arm(number, record, primary, arm) for arm in missing))
            finally:
                self._flying -= 1
            answers |= dict(zip(missing, found, strict=True))
            self.done.asked += 1
        self._watcher.asked(1)
        self._compare(number, whole(record, arms, answers))

    async def _ask_arm(self, number: int, record: Record, primary: Exchange, arm: str) -> ArmRecord:
        self._till.let_out(arm)
        exchange = await self._lanes[arm].ask(primary)
        kept = self._record(exchange, record)
        self._work.keep_answer(number, self._plan.digests[arm], kept, self._till.paid(arm, exchange))
        self.done.answers += 1
        return kept

    # --- compare --------------------------------------------------------------------------------------------------------

    def _compare(self, number: int, record: Record) -> None:
        encoded = self._encoder.encode(record)
        backlog = self._backlog
        backlog.jobs.append((number, encoded))
        backlog.size_bytes += len(encoded)
        if backlog.size_bytes > _BACKLOG_BYTES:
            self._has_room.clear()
        if len(backlog.jobs) >= BATCH:
            self._feed()

    def _feed(self) -> None:
        """Give workers what they can take: one batch each in hand and one to come."""
        backlog = self._backlog
        while backlog.jobs and backlog.in_work < 2 * self._pool.workers:
            jobs = [backlog.jobs.popleft() for _ in range(min(BATCH, len(backlog.jobs)))]
            backlog.in_work += 1
            future = asyncio.wrap_future(self._pool.compare(jobs))
            future.add_done_callback(lambda done, jobs=jobs: self._compared(jobs, done))  # type: ignore[misc]

    def _compared(self, jobs: Sequence[Job], future: asyncio.Future[list[bytes]]) -> None:
        backlog = self._backlog
        backlog.in_work -= 1
        backlog.size_bytes -= sum(len(encoded) for _, encoded in jobs)
        if backlog.size_bytes <= _BACKLOG_BYTES // 2:
            self._has_room.set()
        self._changed.set()
        if future.cancelled():
            return
        failure = future.exception()
        if failure is not None:
            self._failure = StartError(f"a comparing process ended ({failure}); run this again, it goes on from here")
            self._has_room.set()
            return
        self._work.keep_pairs(future.result())
        self.done.compared += len(jobs)
        self._watcher.compared(len(jobs))
        if len(backlog.jobs) >= BATCH:
            self._feed()

    async def _compare_rest(self) -> None:
        """Everything is answered; wait until it is compared."""
        while self._backlog.jobs or self._backlog.in_work:
            self._changed.clear()
            self._feed()
            await self._changed.wait()
            if self._failure is not None:
                raise self._failure
            self._work.check()

    @asynccontextmanager
    async def _swept(self) -> AsyncIterator[None]:
        """Meanwhile overdue copies expire, and what waits to be compared is not left waiting for a batch."""

        async def sweep() -> None:
            idle_s = 0.0
            while True:
                await asyncio.sleep(_SWEEP_S)
                now_s = time.monotonic()
                for lane in self._lanes.values():
                    lane.dispatch.sweep(now_s)
                idle_s += _SWEEP_S
                if idle_s >= _IDLE_S:
                    idle_s = 0.0
                    if self._backlog.in_work == 0:
                        self._feed()

        sweeping = asyncio.ensure_future(sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)


def _asked_for(record: Record) -> Exchange:
    """The primary's exchange as a copy is made of it: nobody's answer, only the request."""
    return Exchange(record.id, PRIMARY, record.route, record.request(), None, Outcome.OK, record.issued_at_s, record.primary.duration_s)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first; the rest was cancelled for it."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
