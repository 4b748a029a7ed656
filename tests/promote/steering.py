"""A controller on a bench: a clock and a verdict that the test moves, and everybody who was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.promote.controller import Controller
from shadowproxy.promote.lease import AlwaysLeading, Leadership
from shadowproxy.promote.memory import Memory
from shadowproxy.promote.news import Moved, Stuck
from shadowproxy.promote.plan import Approval, Plan, Step
from shadowproxy.promote.progress import Progress, decode
from shadowproxy.promote.routers.port import Router
from shadowproxy.testing.clock import ManualClock
from tests.promote.worlds import World

STEP_S = 600.0


def plan_of(steps: tuple[int, ...], approval: Approval = Approval.NONE) -> Plan:
    return Plan(tuple(Step(percent, STEP_S) for percent in steps), approval)


class Audience:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.news: list[Moved | Stuck] = []

    async def tell(self, news: Moved | Stuck) -> None:
        self.news.append(news)

    @property
    def phases(self) -> list[str]:
        return [str(news.progress.phase) for news in self.news if isinstance(news, Moved)]


class Bench:
    """``document`` is the verdict, ``clock`` Unix time, but for what the wall clock is off by. ``start`` puts a new controller in the place
    of the one before, as a restart does."""

    def __init__(self, world: World, approval: Approval = Approval.NONE) -> None:
        self.world = world
        self.plan = plan_of(world.steps, approval)
        self.clock = ManualClock(1_000_000.0)
        self.wall_is_off_s = 0.0
        self.audience = Audience()
        self.document: dict[str, Any] = {"rollout": "v2-0001", "candidate": "v2", "state": "hold", "pairs": 10}
        self.shown: list[str] = []
        self.controller = self.start()

    def start(
        self, router: Router | None = None, memory: Memory | None = None, leadership: Leadership | None = None, *, dry_run: bool = False
    ) -> Controller:
        if router is None:
            router, memory = self.world.connect()
        self.controller = Controller(
            "v2", self.plan, router, memory, leadership or AlwaysLeading(), self.audience, self._verdict,
            show=self.shown.append if dry_run else None, clock=self.clock, wall_clock=lambda: self.clock() + self.wall_is_off_s,
        )  # fmt: skip
        return self.controller

    def _verdict(self) -> Mapping[str, Any]:
        return dict(self.document)

    @property
    def progress(self) -> Progress:
        progress = self.controller.standing.progress
        assert progress is not None, self.controller.standing
        return progress

    async def recorded(self) -> Progress | None:
        """The record as it is kept, read anew."""
        router, memory = self.world.connect()
        record = (await router.read()).memory if memory is None else await memory.read()
        return None if record is None else decode(record)

    def judge(self, state: str, pairs: int = 10) -> None:
        self.document.update(state=state, pairs=int(self.document["pairs"]) + pairs)

    async def look(self, state: str = "", after_s: float = 0.0) -> Progress:
        """Let time pass, pairs be judged, and the controller look once."""
        self.clock.advance(after_s)
        if state:
            self.judge(state)
        await self.controller.look()
        assert not self.controller.standing.problem, self.controller.standing.problem
        return self.progress

    async def go_to(self, percent: int) -> None:
        """Shadow, and on to the step with ``percent``."""
        await self.look("hold")
        while self.world.percent() < percent:
            await self.look("promote", STEP_S)
        assert self.world.percent() == percent
