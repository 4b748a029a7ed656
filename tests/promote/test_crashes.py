"""The controller ends between any two steps, and another one takes over: the weights are what the record says, or the record says that they
are being moved; and the rollout ends as it would have."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from shadowproxy.promote.phases import Phase
from tests.promote.accidents import Crash, Moments, watched
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import WORLDS, World, world

#: A whole life with few steps: what a crash can do to one it can do to all.
STEPS = (5, 100)
LOOKS = 12


class Life:
    """A rollout from its first look to its end, that is interrupted at one moment."""

    def __init__(self, world: World, verdicts: Sequence[str], crash_at: int) -> None:
        self.bench = Bench(world)
        self.moments = Moments(crash_at)
        self.verdicts = verdicts
        self.crashes = 0
        self.seen: list[float] = []
        self.bench.start(*watched(world.connect(), self.moments))

    async def live(self) -> Phase:
        for look in range(LOOKS):
            self.bench.clock.advance(STEP_S)
            self.bench.judge(self.verdicts[min(look, len(self.verdicts) - 1)])
            await self._look()
            if self.bench.progress.phase.is_over:
                return self.bench.progress.phase
        raise AssertionError(f"still {self.bench.progress} after {LOOKS} looks")

    async def _look(self) -> None:
        try:
            await self.bench.controller.look()
        except Crash:
            self.crashes += 1
            await self._expect_record_and_weights_to_agree()
            self.bench.start()
            await self.bench.controller.look()
        assert not self.bench.controller.standing.problem
        await self._expect_record_and_weights_to_agree()

    async def _expect_record_and_weights_to_agree(self) -> None:
        percent = self.bench.world.percent()
        record = await self.bench.recorded()
        before = self.seen[-1] if self.seen else 0
        if record is None:
            assert percent == 0
        elif record.settled:
            assert percent == record.percent
        else:
            assert min(before, record.percent) <= percent <= max(before, record.percent)
        self.seen.append(percent)


async def lives(name: str, folder: Path, verdicts: Sequence[str]) -> list[Life]:
    """The same life again and again, with the crash one moment later each time, until none comes."""
    lived: list[Life] = []
    while not lived or lived[-1].crashes:
        home = folder / str(len(lived))
        home.mkdir()
        async with world(name, home) as made:
            made.steps = tuple(step for step in STEPS if step in made.steps)
            life = Life(made, verdicts, crash_at=len(lived) + 1)
            life_ends = await life.live()
            assert life_ends is (Phase.ROLLED_BACK if "rollback" in verdicts else Phase.PROMOTED)
            assert made.percent() == (0 if "rollback" in verdicts else 100)
            lived.append(life)
    return lived


SLOW = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("git") or name == "program" else name for name in WORLDS]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SLOW)
async def test_crash_at_any_moment_on_the_way_to_promoted(name: str, tmp_path: Path) -> None:
    lived = await lives(name, tmp_path, ["hold", "promote"])
    assert len(lived) > 8
    for life in lived:
        assert life.seen == sorted(life.seen), "the candidate never loses traffic on the way up"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SLOW)
async def test_crash_at_any_moment_on_the_way_to_rolled_back(name: str, tmp_path: Path) -> None:
    lived = await lives(name, tmp_path, ["hold", "promote", "rollback"])
    assert len(lived) > 8
    most = 100 if name == "git versions" else 5
    assert {max(life.seen) for life in lived} == {most}


async def test_intent_is_recorded_before_weights_where_both_cannot_be_written_at_once(tmp_path: Path) -> None:
    states: list[tuple[bool, int, float]] = []
    for crash_at in range(1, 15):
        async with world("llminferenceservice", tmp_path) as made:
            bench = Bench(made)
            await bench.look("hold")
            bench.start(*watched(made.connect(), Moments(crash_at)))
            bench.judge("promote")
            with contextlib.suppress(Crash):
                await bench.controller.look()
            record = await bench.recorded()
            assert record is not None
            states.append((record.settled, record.percent, round(made.percent(), 2)))
    assert list(dict.fromkeys(states)) == [
        (True, 0, 0.0),
        (False, 1, 0.0),  # the intent, before the first weight
        (False, 1, 0.99),  # between the two objects the candidate has less than its step, and the record says so
        (False, 1, 1.0),
        (True, 1, 1.0),
    ]
