"""The run: asks what is not answered yet, keeps each answer at once, has complete requests compared. Stopped, it loses nothing.

Only this module waits. What is asked when is said by ``pace``, which arms by ``plan``.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from shadowproxy.errors import StartError
from shadowproxy.exchange import PRIMARY, Exchange, Outcome
from shadowproxy.journal.reader import Unseal
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.mirror.lateness import next_look
from shadowproxy.replay.catalogue import Catalogue
from shadowproxy.replay.comparing import BATCH, BATCH_BYTES, Job, Pool
from shadowproxy.replay.lanes import Closed, Gate, Lane
from shadowproxy.replay.pace import LONGEST_GAP_S, ClosedLoop, Pace, Schedule, Timed
from shadowproxy.replay.plan import Plan, whole
from shadowproxy.replay.progress import Standstill, in_words
from shadowproxy.replay.till import Till
from shadowproxy.replay.work import Kept, Work

#: How often deadlines of copies are looked at, and what waits to be compared although it fills no batch.
_SWEEP_S = 0.1
_IDLE_S = 0.5

#: When a run ends early, how long answers on their way, and what is being compared, may take to arrive.
_PATIENCE_S = 5.0

#: Bytes of answered requests that may wait to be compared. Past it no more are asked: memory is bounded, and what is kept is on the disk.
_BACKLOG_BYTES = 256 * 1024 * 1024

#: The same for requests that nobody has to be asked about: reading far ahead of the comparator gains nothing.
_AHEAD_BYTES = 16 * 1024 * 1024

#: Requests in flight at a given pace. Arms that answer nothing for minutes are waited for rather than flooded.
_MOST_IN_FLIGHT = 10_000


class Recorder(Protocol):
    """Makes of an exchange what is kept of it, redacted. ``known`` is what was in the capture already."""

    async def record(self, exchange: Exchange, known: Record) -> ArmRecord: ...


class Watcher(Protocol):
    """Is told of so many more requests."""

    def asked(self, requests: int) -> None:
        """Every arm has answered them."""

    def compared(self, requests: int) -> None:
        """They are compared."""

    def told(self, line: str) -> None:
        """What somebody who waits should know: whom the run waits for, and how long."""


@dataclass(slots=True)
class Done:
    """What a run did: requests asked and compared, answers kept."""

    asked: int = 0
    answers: int = 0
    compared: int = 0
    is_stopped: bool = False


@dataclass(slots=True)
class _Backlog:
    """Complete requests on their way to a comparator."""

    jobs: deque[Job] = field(default_factory=deque)
    waiting_bytes: int = 0
    """Of ``jobs``."""
    size_bytes: int = 0
    """Of these and of what a comparator has in hand."""
    in_work: int = 0

    def add(self, job: Job) -> None:
        self.jobs.append(job)
        self.waiting_bytes += len(job[1])
        self.size_bytes += len(job[1])

    @property
    def fills_a_batch(self) -> bool:
        return len(self.jobs) >= BATCH or self.waiting_bytes >= BATCH_BYTES

    def batch(self) -> list[Job]:
        """The next ones, at least one."""
        jobs: list[Job] = []
        size_bytes = 0
        while self.jobs and len(jobs) < BATCH and size_bytes < BATCH_BYTES:
            jobs.append(self.jobs.popleft())
            size_bytes += len(jobs[-1][1])
        self.waiting_bytes -= size_bytes
        return jobs


@dataclass(frozen=True, slots=True)
class _Begun:
    """A request, the arms it is about, and which of their answers are there already."""

    number: int
    record: Record
    arms: tuple[str, ...]
    answers: dict[str, ArmRecord]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(arm for arm in self.arms if arm not in self.answers)


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
        recorder: Recorder,
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
        self._recorder = recorder
        self._watcher = watcher
        self._unseal = unseal
        self._encoder = msgspec.json.Encoder()
        self._backlog = _Backlog()
        self._changed = asyncio.Event()
        self._copies: set[asyncio.Task[ArmRecord]] = set()
        self._failed = asyncio.Event()
        self._failure: Exception | None = None
        self._is_stopping = False
        self._steps = 0
        self._recording = 0
        self._next_due_s: float | None = None
        self.done = Done()

    async def run(self, pace: Pace, stop: asyncio.Event) -> Done:
        """Until everything is compared, or ``stop`` is set. Raises :class:`StartError` where an arm was never reached, where a comparator
        cannot be used, or where the disk does not take what came; what was on its way then is kept as when it is stopped."""
        everything = asyncio.ensure_future(self._watched(self._all(pace)))
        stopping, failing = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._failed.wait())
        async with self._swept():
            try:
                await asyncio.wait((everything, stopping, failing), return_when=asyncio.FIRST_COMPLETED)
                self.done.is_stopped = not everything.done()
                if self._failure is not None or self.done.is_stopped:
                    await self._settle()
            finally:
                ending = (everything, stopping, failing, *self._copies)
                for task in ending:
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        self._work.check()
        return self.done

    async def _all(self, pace: Pace) -> None:
        await self._comparators_ready()
        await self._ask_all(pace)
        await self._compare_rest()

    async def _watched(self, doing: Coroutine[None, None, None]) -> None:
        """A failure ends the run, and cancels nothing that is on its way."""
        try:
            await doing
        except Closed:
            return
        except Exception as exc:  # noqa: BLE001 - it is raised once what is on its way has arrived
            self._fail(exc)

    def _fail(self, failure: Exception) -> None:
        """Remember what went wrong first, and ask nothing more."""
        self._failure = self._failure or failure
        self._failed.set()
        self._changed.set()
        self._close()

    def _goes_on(self) -> bool:
        return not self._is_stopping

    def _close(self) -> None:
        self._is_stopping = True
        for lane in self._lanes.values():
            lane.close()

    async def _settle(self) -> None:
        """What is on its way when the run ends early may be paid for already, and what is being compared is nearly done."""
        self._close()
        patience_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < patience_s and self._has_on_its_way():
            await asyncio.sleep(0.02)

    def _has_on_its_way(self) -> bool:
        return bool(self._recording or self._backlog.in_work) or any(lane.in_flight for lane in self._lanes.values())

    async def _comparators_ready(self) -> None:
        """What cannot be compared is not asked for: answers may cost money."""
        try:
            for failure in await asyncio.gather(*(asyncio.wrap_future(each) for each in self._pool.begin())):
                if failure:
                    raise StartError(failure)
        except BrokenExecutor as exc:
            raise _broken(exc) from exc

    # --- ask ------------------------------------------------------------------------------------------------------------

    async def _ask_all(self, pace: Pace) -> None:
        requests = self._catalogue.requests(self._numbers, self._unseal)
        async with asyncio.TaskGroup() as group:
            if isinstance(pace, ClosedLoop):
                for _ in range(pace.concurrency):
                    group.create_task(self._watched(self._ask_one_after_the_other(requests)))
            else:
                group.create_task(self._watched(self._ask_in_time(requests, pace, group)))

    async def _ask_one_after_the_other(self, requests: Iterator[tuple[int, Record]]) -> None:
        while self._goes_on() and (following := next(requests, None)) is not None:  # shared: each takes the next
            begun = self._begun(*following)
            await self._room(begun)
            await self._ask(begun)

    async def _ask_in_time(self, requests: Iterator[tuple[int, Record]], pace: Timed, group: asyncio.TaskGroup) -> None:
        """Distances are kept from the first request that has to be asked: a run that goes on does not hurry after the clock, and what
        nobody is asked about waits for no time."""
        schedule = pace.schedule(self._catalogue.issued_at_s)
        slots = asyncio.Semaphore(_MOST_IN_FLIGHT)
        offset_s: float | None = None
        for number, record in requests:
            begun = self._begun(number, record)
            await self._room(begun)
            if not self._goes_on():
                return
            if not begun.missing:
                await self._ask(begun)
                continue
            if offset_s is None:
                offset_s = time.monotonic() - schedule.due_s[number]
                self._tell_span(schedule, number)
            await slots.acquire()
            due_s = self._next_due_s = offset_s + schedule.due_s[number]
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if not self._goes_on():
                return
            task = group.create_task(self._watched(self._ask(begun, due_s)))
            task.add_done_callback(lambda _: slots.release())
        self._next_due_s = None

    def _tell_span(self, schedule: Schedule, first: int) -> None:
        """Before the first request goes out, how long it takes. Where gaps are shortened, that too: it is another rhythm then."""
        line = f"at this pace the last request goes out in {in_words(schedule.due_s[self._numbers[-1]] - schedule.due_s[first])}"
        if schedule.shortened:
            line += f"; {schedule.shortened} gaps of the capture are longer than {in_words(LONGEST_GAP_S)}, and are shortened to that"
        self._watcher.told(line)

    async def _room(self, begun: _Begun) -> None:
        """Wait while too much waits to be compared; and let the loop look after what is on its way where nothing else does."""
        bound_bytes = _BACKLOG_BYTES if begun.missing else _AHEAD_BYTES
        if not begun.missing:
            await asyncio.sleep(0)
        while self._backlog.size_bytes > bound_bytes and not self._is_stopping:
            self._changed.clear()
            await self._changed.wait()
        self._work.check()

    def _begun(self, number: int, record: Record) -> _Begun:
        answers = self._kept.take(self._catalogue.key(number)) | self._plan.taken(record)
        return _Begun(number, record, self._plan.arms(record), answers)

    async def _ask(self, begun: _Begun, due_s: float | None = None) -> None:
        """Ask every arm that this request has no answer of."""
        answers, missing = begun.answers, begun.missing
        if missing:
            primary = _asked_for(begun.record)
            copies = [asyncio.ensure_future(self._ask_arm(begun, primary, arm, due_s)) for arm in missing]
            for copy in copies:
                self._copies.add(copy)
                copy.add_done_callback(self._copies.discard)
            answers = answers | dict(zip(missing, await asyncio.gather(*copies), strict=True))
            self.done.asked += 1
        self._steps += 1
        self._watcher.asked(1)
        self._compare(begun.number, whole(begun.record, begun.arms, answers))

    async def _ask_arm(self, begun: _Begun, primary: Exchange, arm: str, due_s: float | None) -> ArmRecord:
        self._till.let_out(arm)
        exchange = await self._lanes[arm].ask(primary, due_s)
        self._recording += 1
        try:
            kept = await self._recorder.record(exchange, begun.record)
        finally:
            self._recording -= 1
        self._work.keep_answer(begun.number, self._plan.digests[arm], kept, self._till.paid(arm, exchange))
        self.done.answers += 1
        self._steps += 1
        return kept

    # --- compare --------------------------------------------------------------------------------------------------------

    def _compare(self, number: int, record: Record) -> None:
        self._backlog.add((number, self._encoder.encode(record)))
        if self._backlog.fills_a_batch:
            self._feed()

    def _feed(self) -> None:
        """Give workers what they can take: one batch each in hand and one to come."""
        backlog = self._backlog
        while backlog.jobs and backlog.in_work < 2 * self._pool.workers and not self._is_stopping:
            jobs = backlog.batch()
            try:
                future = asyncio.wrap_future(self._pool.compare(jobs))
            except BrokenExecutor as exc:
                self._fail(_broken(exc))
                return
            backlog.in_work += 1
            future.add_done_callback(lambda done, jobs=jobs: self._compared(jobs, done))  # type: ignore[misc]

    def _compared(self, jobs: Sequence[Job], future: asyncio.Future[list[bytes]]) -> None:
        backlog = self._backlog
        backlog.in_work -= 1
        backlog.size_bytes -= sum(len(encoded) for _, encoded in jobs)
        self._changed.set()
        if future.cancelled():
            return
        failure = future.exception()
        if failure is not None:
            self._fail(_broken(failure))
            return
        self._work.keep_pairs(future.result())
        self._steps += 1
        self.done.compared += len(jobs)
        self._watcher.compared(len(jobs))
        if backlog.fills_a_batch:
            self._feed()

    async def _compare_rest(self) -> None:
        """Everything is answered; wait until it is compared."""
        while (self._backlog.jobs or self._backlog.in_work) and not self._is_stopping:
            self._changed.clear()
            self._feed()
            await self._changed.wait()
            self._work.check()

    # --- meanwhile ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _swept(self) -> AsyncIterator[None]:
        """Meanwhile overdue copies expire, and what waits to be compared is not left waiting for a batch."""

        async def sweep() -> None:
            idle_s = 0.0
            standstill = Standstill(time.monotonic())
            while True:
                await next_look(_SWEEP_S)
                now_s = time.monotonic()
                for lane in self._lanes.values():
                    lane.dispatch.sweep(now_s)
                idle_s += _SWEEP_S
                if idle_s >= _IDLE_S:
                    idle_s = 0.0
                    if self._backlog.in_work == 0:
                        self._feed()
                    for line in standstill.lines(now_s, self._steps, self._held(), self._waits_for(now_s)):
                        self._watcher.told(line)

        sweeping = asyncio.ensure_future(sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    def _held(self) -> dict[str, float]:
        """Servers that asked for a pause, by the names of their arms, and until when."""
        arms: dict[Gate, list[str]] = {}
        for name, lane in self._lanes.items():
            if lane.asked:
                arms.setdefault(lane.gate, []).append(name)
        return {" and ".join(names): gate.turns.held_until_s for gate, names in arms.items() if gate.turns.held_until_s}

    def _waits_for(self, now_s: float) -> list[str]:
        """In words, what comes next."""
        waits = [f"{lane.in_flight} answers of {name}" for name, lane in self._lanes.items() if lane.in_flight]
        if self._next_due_s is not None and self._next_due_s > now_s:
            waits.append(f"the time of the next request, in {in_words(self._next_due_s - now_s)}")
        if self._backlog.in_work:
            waits.append("comparing")
        return waits


def _broken(failure: BaseException) -> StartError:
    return StartError(
        f"a comparing process ended ({failure}); it was killed, for want of memory perhaps; run this again, it goes on from here"
    )


def _asked_for(record: Record) -> Exchange:
    """The primary's exchange as a copy is made of it: nobody's answer, only the request."""
    return Exchange(record.id, PRIMARY, record.route, record.request(), None, Outcome.OK, record.issued_at_s, record.primary.duration_s)
