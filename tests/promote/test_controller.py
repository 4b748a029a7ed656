"""Every router from shadow to promoted and to rolled back, and everything that may come between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.news import Stuck
from shadowproxy.promote.phases import Order, Phase
from tests.promote.accidents import WatchedRouter
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import WORLDS, world

#: These start a process for every word they say.
SLOW = [pytest.param(name, marks=pytest.mark.slow) if name in ("git versions", "program") else name for name in WORLDS]


@pytest.fixture(params=SLOW)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with world(request.param, tmp_path) as made:
        yield Bench(made)


async def test_shadow_to_promoted_takes_every_step_in_its_time(bench: Bench) -> None:
    assert (await bench.look("hold")).phase is Phase.SHADOW
    seen = [bench.world.percent()]
    while (await bench.look("promote", STEP_S)).phase is Phase.CANARY:
        seen.append(bench.world.percent())
    assert bench.progress.phase is Phase.PROMOTED
    assert seen == [0, *bench.world.steps]
    assert bench.world.percent() == 100
    assert bench.audience.phases == ["shadow", *("canary" for _ in bench.world.steps), "promoted"]


async def test_failed_step_takes_the_candidate_out_at_once(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    assert (await bench.look("rollback")).phase is Phase.ROLLED_BACK
    assert bench.world.percent() == 0
    await bench.look("promote", 10 * STEP_S)
    assert bench.world.percent() == 0, "what was rolled back stays out"


async def test_rollback_in_shadow_writes_no_weights(bench: Bench) -> None:
    await bench.look("hold")
    assert (await bench.look("rollback")).phase is Phase.ROLLED_BACK
    assert bench.world.percent() == 0


async def test_hold_never_moves(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    before = await bench.recorded()
    for _ in range(3):
        await bench.look("hold", 10 * STEP_S)
    assert bench.world.percent() == bench.world.steps[0]
    assert await bench.recorded() == before


async def test_unknown_verdict_holds(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    await bench.look("excellent", 10 * STEP_S)
    assert bench.world.percent() == bench.world.steps[0]


async def test_young_step_waits_and_so_does_one_in_which_nothing_was_judged(bench: Bench) -> None:
    if len(bench.world.steps) == 1:
        pytest.skip("has one step")
    await bench.go_to(bench.world.steps[0])
    await bench.look("promote", STEP_S - 1)
    assert "older" in bench.controller.standing.waits_for
    bench.document["pairs"] = bench.progress.pairs
    await bench.look("", 10 * STEP_S)
    assert "more pairs" in bench.controller.standing.waits_for
    assert bench.world.percent() == bench.world.steps[0]


async def test_a_wall_clock_that_is_set_makes_no_step_older_or_younger(bench: Bench) -> None:
    if len(bench.world.steps) == 1:
        pytest.skip("has one step")
    await bench.go_to(bench.world.steps[0])
    await bench.look("promote", 1)
    for hours in (1, -1):
        bench.wall_is_off_s = hours * 3600
        await bench.look("promote", 1)
        assert bench.controller.standing.waits_for == f"the step to be {STEP_S - (2 if hours > 0 else 3):.0f} s older"
    await bench.look("promote", STEP_S - 3)
    assert bench.world.percent() == bench.world.steps[1]


async def test_somebody_elses_weights_are_left_and_asked_about(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    other = 0 if bench.world.steps[0] == 100 else 40
    bench.world.meddle(other)
    moved = bench.world.percent()
    assert (await bench.look("promote", STEP_S)).phase is Phase.HELD
    assert "somebody else" in bench.progress.because
    await bench.look("promote", STEP_S)
    assert bench.world.percent() == moved, "a person's weights are not fought over"
    await bench.controller.order(Order.RESUME)
    assert bench.world.percent() == bench.world.steps[0]
    assert bench.progress.phase is Phase.CANARY


async def test_held_rollout_still_rolls_back(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    bench.world.meddle(0 if bench.world.steps[0] == 100 else 40)
    await bench.look("hold")
    assert (await bench.look("rollback")).phase is Phase.ROLLED_BACK
    assert bench.world.percent() == 0


async def test_edit_between_reading_and_writing_is_read_again(bench: Bench) -> None:
    if bench.world.name == "program":
        pytest.skip("a program that says no version cannot tell")
    await bench.look("hold")
    router, memory = bench.world.connect()
    bench.start(WatchedRouter(router, before_make=lambda: bench.world.meddle(60 if bench.world.steps[0] < 100 else 100)), memory)
    bench.judge("promote")
    await bench.controller.look()
    assert bench.world.percent() in (50, 60), "a person's weights stand"
    record = await bench.recorded()
    assert record is not None
    assert record.phase is Phase.HELD


async def test_candidate_with_traffic_before_any_verdict_is_asked_about(bench: Bench) -> None:
    bench.world.meddle(30 if bench.world.steps[0] < 100 else 100)
    before = bench.world.percent()
    assert (await bench.look("promote")).phase is Phase.HELD
    assert bench.world.percent() == before


async def test_resume_takes_unjudged_traffic_out_and_begins(bench: Bench) -> None:
    if bench.world.name == "git versions":
        pytest.skip("what stood there before is not known: see its own test")
    bench.world.meddle(30)
    await bench.look("promote")
    await bench.controller.order(Order.RESUME)
    assert bench.progress.phase is Phase.SHADOW
    assert bench.world.percent() == 0


async def test_vanished_object_is_told_once_and_moves_nothing(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    bench.world.vanish()
    for _ in range(2):
        bench.clock.advance(STEP_S)
        bench.judge("promote")
        await bench.controller.look()
    assert bench.controller.standing.problem
    assert len([news for news in bench.audience.news if isinstance(news, Stuck)]) == 1


async def test_a_fault_of_ours_ends_no_watch(bench: Bench) -> None:
    """A controller whose task had ended would leave a bad candidate its traffic."""
    await bench.go_to(bench.world.steps[0])
    good = bench.document
    bench.document = {"state": "hold", "pairs": 11}
    for _ in range(2):
        bench.clock.advance(STEP_S)
        await bench.controller.look()
        assert "a fault in shadowproxy itself (KeyError" in bench.controller.standing.problem
    assert len([news for news in bench.audience.news if isinstance(news, Stuck)]) == 1
    bench.document = good
    await bench.look("rollback")
    assert bench.world.percent() == 0


async def test_abort_takes_the_candidate_out(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    await bench.controller.order(Order.ABORT)
    assert bench.world.percent() == 0
    assert bench.progress.phase is Phase.ROLLED_BACK
    with pytest.raises(RouterRefused, match="cannot resume"):
        await bench.controller.order(Order.RESUME)


async def test_paused_rollout_stays_where_it_is_until_resumed(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    await bench.controller.order(Order.PAUSE)
    await bench.look("promote", 10 * STEP_S)
    assert bench.world.percent() == bench.world.steps[0]
    await bench.controller.order(Order.RESUME)
    await bench.look("promote", STEP_S - 1)
    assert bench.progress.phase is Phase.CANARY, "the step's age begins anew"


async def test_rollout_of_another_configuration_takes_the_old_one_out_first(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    bench.document["rollout"] = "v2-0002"
    assert (await bench.look("promote")).phase is Phase.SHADOW
    assert bench.world.percent() == 0
    assert bench.progress.rollout == "v2-0002"


async def test_dry_run_changes_nothing_and_shows_the_first_step(bench: Bench) -> None:
    bench.start(dry_run=True)
    bench.judge("promote")
    await bench.controller.look()
    bench.clock.advance(STEP_S)
    await bench.controller.look()
    assert bench.world.percent() == 0
    assert await bench.recorded() is None
    assert len(bench.shown) == 1, "the same is not shown twice"
    assert bench.shown[0].startswith("# v2-0001: canary")
    with pytest.raises(RouterRefused, match="dry run"):
        await bench.controller.order(Order.ABORT)


async def test_restarted_controller_tells_again_where_the_rollout_stands_by_the_same_event(bench: Bench) -> None:
    await bench.go_to(bench.world.steps[0])
    told = bench.audience.news[-1].as_event()
    bench.start()
    await bench.look("hold")
    again = bench.audience.news[-1].as_event()
    assert (again.type, again.told, again.at_s) == (told.type, told.told, told.at_s)
