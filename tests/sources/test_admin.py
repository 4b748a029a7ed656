"""Reading one admin surface: the very surface that ``serve`` has, over a state made by hand."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestServer

from shadowproxy.admin.app import build
from shadowproxy.config import AdminSource
from shadowproxy.counts import CONNECTIONS, PAIRS_ISSUED, PAIRS_PENDING
from shadowproxy.errors import NoAnswer
from shadowproxy.sources.admin import AdminApi
from shadowproxy.testing.clock import ManualClock
from tests.admin.fake_state import FakeState

R = "v2-0123456789ab"
ISSUED = (PAIRS_ISSUED.name, R, "chat", "candidate")
PENDING = (PAIRS_PENDING.name, R, "v2", "chat")


def state() -> FakeState:
    fake = FakeState()
    others = {(PAIRS_ISSUED.name, "v3-0123456789ab", "chat", "candidate"): 99, (CONNECTIONS.name,): 3}
    fake.totals.absorb("shadow/1", {ISSUED: 10, PENDING: 2, **others})
    return fake


async def read(fake: FakeState, token: str | None = None, **section: object):
    async with TestServer(build(fake, token), host="127.0.0.1") as server:
        api = AdminApi(AdminSource.model_validate({"url": str(server.make_url("/")).rstrip("/"), **section}), ManualClock(77.0))
        try:
            return await api.read((R,))
        finally:
            await api.close()


async def test_counts_of_the_rollouts_come_under_the_boot_of_that_serve() -> None:
    reading = await read(state())
    assert reading.boots == {"b00t": {ISSUED: 10, PENDING: 2}}
    assert reading.live == {"b00t"}
    assert reading.at_s == 77.0
    assert reading.problems == ()


async def test_serve_that_has_counted_nothing_yet_answers_nothing() -> None:
    reading = await read(FakeState())
    assert reading.boots == {}


async def test_token_of_the_surface_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "t0ken")
    assert (await read(state(), "t0ken", auth={"env": "ADMIN_TOKEN"})).boots
    with pytest.raises(NoAnswer, match="status 401; is it the admin surface, and auth its token"):
        await read(state(), "another", auth={"env": "ADMIN_TOKEN"})
