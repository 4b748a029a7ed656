"""Every router from shadow to promoted and to rolled back, and everything that may come between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadowproxy.promote.phases import Phase
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import WORLDS, world


@pytest.fixture(params=WORLDS)
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
