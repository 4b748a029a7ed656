"""Every row of the fault table: something breaks, clients get what the table says, the counter moves, and all is well afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.fault import Fault, Logged
from tests.faults.scenes import Stage, missing
from tests.faults.table import FAULTS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    stage = Stage()
    chosen = (item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec"))
    stage.begin(dict.fromkeys(fault.scene for fault in chosen if isinstance(fault, Fault) and not missing(fault.needs)))
    yield stage
    await stage.end()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_fault(fault: Fault, stage: Stage) -> None:
    for part in missing(fault.needs):
        pytest.skip(f"{part} is not here")
    scene = await stage.scene(fault.scene)
    if isinstance(fault.shows, Logged):
        scene.other_log = ""
    before = await scene.proof(fault.shows, fault.candidate)
    steps_before = (await scene.metrics()).value("shadowproxy_step_failures_total")
    scene.new_log()

    seen = await fault.inject(scene)

    fault.client.check(seen)
    await scene.until_moved(fault.shows, fault.candidate, before)
    await scene.is_healthy()
    if not fault.story:
        assert (await scene.metrics()).value("shadowproxy_step_failures_total") == steps_before
        assert "Traceback" not in scene.new_log()
