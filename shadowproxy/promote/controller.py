"""Observes, decides, acts: one candidate, one router, again and again.

The verdict document and the present state of the router go into ``decision``, its commands come out and are carried out here, one after the
other. Nothing is remembered in this process that matters: whoever comes next reads it where it was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.commands import Command, Emit, Record, Release, Restore, SetWeight
from shadowproxy.promote.decision import Decision, Seen, decide, obey
from shadowproxy.promote.lease import Leadership
from shadowproxy.promote.memory import Memory
from shadowproxy.promote.news import Listener, Moved, Stuck
from shadowproxy.promote.phases import Order
from shadowproxy.promote.plan import Plan
from shadowproxy.promote.present import Present
from shadowproxy.promote.progress import Progress, decode, encode, moving
from shadowproxy.promote.routers.port import Change, Note, Router
from shadowproxy.verdict.decision import State

_log = logging.getLogger(__name__)

#: Conflicts in a row before the next look: whoever writes that often is not to be raced.
_ATTEMPTS = 5

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rollout stands, for people and programs. ``progress`` is None before the first look."""

    progress: Progress | None = None
    waits_for: str = ""
    problem: str = ""
    is_leading: bool = False
    acts: bool = False

    def as_document(self) -> dict[str, Any]:
        told = self.progress
        about = (
            {} if told is None else {key: getattr(told, key) for key in ("rollout", "candidate", "phase", "percent", "because", "settled")}
        )
        return {**about, "waits_for": self.waits_for, "problem": self.problem, "is_leading": self.is_leading, "acts": self.acts}


class Controller:
    """Steers one candidate. ``memory`` is None where the router carries the record itself."""

    def __init__(
        self,
        candidate: str,
        plan: Plan,
        router: Router,
        memory: Memory | None,
        leadership: Leadership,
        listener: Listener,
        verdict: Callable[[], Document | None],
        *,
        show: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``verdict`` gives the candidate's latest document, None where there is none yet. With ``show`` nothing is changed: what would be
        is handed to it as text."""
        assert router.carries_memory == (memory is None), "the record has one place"
        self._candidate = candidate
        self._plan = plan
        self._router = router
        self._memory = memory
        self._leadership = leadership
        self._listener = listener
        self._verdict = verdict
        self._show = show
        self._clock = clock
        self._wall_clock = wall_clock
        self._step = _StepAge(clock, wall_clock)
        self._one_at_a_time = asyncio.Lock()
        self._standing = Standing()
        self._not_before_s = 0.0
        self._has_told = False
        self._shown = ""

    def __repr__(self) -> str:
        progress = self._standing.progress
        return f"<Controller {self._candidate} {'not begun' if progress is None else f'{progress.phase} {progress.percent} %'}>"

    @property
    def standing(self) -> Standing:
        return self._standing

    async def run_forever(self, interval_s: float) -> None:
        """Look every ``interval_s`` seconds: a third of the lease at most, or it runs out between two looks."""
        while True:
            await self.look()
            await asyncio.sleep(interval_s)

    async def look(self) -> Standing:
        """Look once, and do what follows. Never raises: what went wrong is in the standing."""
        async with self._one_at_a_time:
            await self._look_guarded()
        return self._standing

    async def order(self, order: Order) -> Standing:
        """Do what a person asks for. Raises :class:`~shadowproxy.errors.RouterRefused` where it makes no sense, and what routers raise."""
        async with self._one_at_a_time:
            if self._show is not None:
                raise RouterRefused(f"cannot {order}: this is a dry run", "start it with --no-dry-run")
            await self._leadership.renew()
            if not self._leadership.is_held():
                raise RouterRefused(f"cannot {order}: another controller leads", "ask that one")
            await self._until_no_conflict(lambda progress, seen: obey(self._plan, progress, seen, order))
        return self._standing

    async def close(self) -> None:
        """Let the next controller take over at once."""
        async with self._one_at_a_time:
            if self._show is None:
                await self._leadership.release()
            await self._router.close()

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _look_guarded(self) -> None:
        try:
            if self._show is None:
                await self._leadership.renew()
            if self._clock() >= self._not_before_s:
                await self._until_no_conflict(lambda progress, seen: decide(self._plan, progress, seen))
        except RouterBusy as exc:
            self._not_before_s = self._clock() + exc.delay_s
            self._stand(problem=str(exc))
            _log.warning("%s waits: %s", self._candidate, exc)
        except RouterRefused as exc:
            await self._get_stuck(exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is: nobody would take a bad candidate out if looking ended here
            await self._survive(exc)

    async def _survive(self, fault: Exception) -> None:
        """Tell what should not have happened, and look again at the next turn."""
        what = RouterRefused(f"a fault in shadowproxy itself ({type(fault).__name__}: {fault})", "look at its log, and report it")
        if str(what) != self._standing.problem:
            _log.error("looking after %s failed", self._candidate, exc_info=fault)
        with contextlib.suppress(Exception):  # it may be the telling that fails
            await self._get_stuck(what)

    async def _get_stuck(self, refused: RouterRefused) -> None:
        """Hold, and tell a person; once for each thing that is wrong."""
        is_news = str(refused) != self._standing.problem
        self._stand(problem=str(refused))
        if is_news:
            _log.error("%s holds: %s", self._candidate, refused)
        if is_news and self._leadership.is_held():
            await self._listener.tell(Stuck(self._wall_clock(), self._candidate, self._standing.progress, str(refused)))

    async def _until_no_conflict(self, deciding: Callable[[Progress | None, Seen], Decision]) -> None:
        """Read, decide, act; again where somebody was faster, because what they left may ask for something else."""
        for _ in range(_ATTEMPTS):
            document = self._verdict()
            if document is None:
                self._stand(waits_for="a verdict")
                return
            try:
                await self._act(document, deciding)
            except RouterConflict as exc:
                _log.info("%s decides anew: %s", self._candidate, exc)
            else:
                return
        raise RouterBusy("somebody else keeps changing what is steered", 1.0)

    async def _act(self, document: Document, deciding: Callable[[Progress | None, Seen], Decision]) -> None:
        present = await self._router.read()
        record = present.memory if self._memory is None else await self._memory.read()
        progress = None if record is None else decode(record)
        seen = _seen(document, self._candidate, present, self._wall_clock(), self._step.of(progress))
        if self._show is not None:
            self._rehearse(progress, seen, document)
            return
        decision = deciding(progress, seen)
        if not self._leadership.is_held():
            self._stand(progress, waits_for="another controller, which leads")
            return
        await self._tell_once(progress, document)
        for command in decision.commands:
            await self._carry_out(command, present, document)
        self._stand(decision.progress, waits_for=decision.waits_for)

    async def _tell_once(self, progress: Progress | None, document: Document) -> None:
        """Tell what is the case when this process begins: the one before may have ended between doing and telling. The event is the
        same."""
        if progress is not None and not self._has_told and progress.settled:
            await self._listener.tell(Moved(progress, document))
        self._has_told = True

    # --- acting -----------------------------------------------------------------------------------------------------

    async def _carry_out(self, command: Command, present: Present, document: Document) -> None:
        match command:
            case SetWeight(percent, then):
                changes = self._router.weigh(present, percent, Note(then, document))
                await self._move(changes, then)
            case Restore(then):
                changes = self._router.restore(present, Note(then, document))
                await self._move(changes, then)
            case Record(progress):
                await self._record(progress, present, document)
            case Emit(progress):
                _log.info("%s: %s, %d %%: %s", progress.rollout, progress.phase, progress.percent, progress.because)
                await self._listener.tell(Moved(progress, document))
            case Release():
                await self._make(self._router.disown(present))
            case _:
                raise AssertionError(f"unknown command {command!r}")

    async def _move(self, changes: tuple[Change, ...], then: Progress) -> None:
        """The intent, the weights, the result; all at once where the router can."""
        if self._memory is not None:
            await self._remember(self._memory, moving(then))
        await self._make(changes)
        if self._memory is not None:
            await self._remember(self._memory, then)

    async def _record(self, progress: Progress, present: Present, document: Document) -> None:
        if self._memory is not None:
            await self._remember(self._memory, progress)
        else:
            await self._make(self._router.remember(present, Note(progress, document)))

    async def _make(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._insist_on_leading()
            await self._router.make(change)

    async def _remember(self, memory: Memory, progress: Progress) -> None:
        self._insist_on_leading()
        await memory.write(encode(progress))

    def _insist_on_leading(self) -> None:
        if not self._leadership.is_held():
            raise RouterBusy("the lease ran out while acting; whoever leads next goes on from here", 1.0)

    # --- showing ----------------------------------------------------------------------------------------------------

    def _rehearse(self, progress: Progress | None, seen: Seen, document: Document) -> None:
        """Show what would be done, as a person can do it. A rollout that is not recorded yet is taken as begun."""
        assert self._show is not None
        decision = decide(self._plan, progress, seen)
        if progress is None:
            decision = decide(self._plan, decision.progress, seen)
        changes = [change for command in decision.commands for change in self._changes(command, seen.present, document)]
        heading = f"# {seen.rollout}: {decision.progress.phase}, {decision.progress.percent} %: {decision.progress.because}"
        waiting = f"\n# waits for {decision.waits_for}" if decision.waits_for else ""
        self._stand(decision.progress, waits_for=decision.waits_for)
        # Not the whole text: times and what is waited for change with every look, and what is to be done does not.
        news = f"{heading} {seen.present} {len(changes)}"
        if news != self._shown:
            self._shown = news
            record = (self._memory.command(encode(decision.progress)),) if changes and self._memory is not None else ()
            self._show("\n".join((heading + waiting, *(str(change) for change in changes), *record)))

    def _changes(self, command: Command, present: Present, document: Document) -> tuple[Change, ...]:
        match command:
            case SetWeight(percent, then):
                return self._router.weigh(present, percent, Note(then, document))
            case Restore(then):
                return self._router.restore(present, Note(then, document))
            case _:
                return ()

    def _stand(self, progress: Progress | None = None, *, waits_for: str = "", problem: str = "") -> None:
        self._standing = Standing(
            progress or self._standing.progress, waits_for, problem, is_leading=self._leadership.is_held(), acts=self._show is None
        )


class _StepAge:
    """How long a step lasts. Another process may have begun it, so it is reckoned by the wall clock when it is first seen; from then on by
    a clock that nobody sets: a step must not be over because a machine's time was put right."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._since_s: float | None = None
        self._began = 0.0

    def of(self, progress: Progress | None) -> float:
        """Seconds since the present step of ``progress`` began."""
        if progress is None:
            return 0.0
        now = self._clock()
        if progress.since_s != self._since_s:
            self._since_s = progress.since_s
            self._began = now - max(self._wall_clock() - progress.since_s, 0.0)
        return now - self._began


def _seen(document: Document, candidate: str, present: Present, now_s: float, step_age_s: float) -> Seen:
    """What is known. A verdict that this version does not know holds."""
    states = {state.value: state for state in State}
    verdict = states.get(str(document.get("state")), State.HOLD)
    pairs = document.get("pairs")
    return Seen(str(document["rollout"]), candidate, verdict, pairs if isinstance(pairs, int) else 0, present, now_s, step_age_s)
