"""What may be done over the admin surface, and by whom."""

from __future__ import annotations

from tests.admin.clients import bearer, client_of
from tests.admin.fake_state import FakeState


async def test_reload_tells_whether_it_was_done() -> None:
    state = FakeState("small")
    async with client_of(state) as client:
        reply = await client.post("/reload")
        assert (reply.status, await reply.json()) == (200, {"reloaded": True})
        state.reload_problem = "mirror.percent: 150 is not within 0..100"
        reply = await client.post("/reload")
        assert reply.status == 409
        assert "mirror.percent: 150" in (await reply.json())["error"]["message"]


async def test_kill_switch_by_hand() -> None:
    state = FakeState("small")
    async with client_of(state) as client:
        assert (await client.post("/mirroring?on=false")).status == 200
        assert (await client.post("/mirroring?on=true")).status == 200
        assert (await client.post("/mirroring?on=perhaps")).status == 400
        assert (await client.post("/mirroring")).status == 400
        assert (await client.get("/mirroring?on=false")).status == 405
    assert state.switched == [False, True]


async def test_page_of_another_origin_can_do_nothing() -> None:
    state = FakeState("small")
    async with client_of(state) as client:
        foreign = await client.post("/mirroring?on=false", headers={"origin": "https://evil.example"})
        assert foreign.status == 403
        own = await client.post("/mirroring?on=false", headers={"origin": f"http://{client.host}:{client.port}"})
        assert own.status == 200
    assert state.switched == [False]


async def test_commands_need_the_token() -> None:
    state = FakeState("small")
    async with client_of(state, "secret") as client:
        assert (await client.post("/reload")).status == 401
        assert (await client.post("/reload", headers=bearer("secret"))).status == 200
