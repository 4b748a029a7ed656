"""Every endpoint over a real socket, with a state that shows what it is told to."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.admin.app import ENDPOINTS, build
from shadowproxy.admin.state import Health
from shadowproxy.counts import NOT_MIRRORED, Counts
from tests.admin.clients import bearer, client_of
from tests.admin.fake_state import FakeState, pair


async def get(state: FakeState, path: str, token: str | None = None) -> tuple[int, Any]:
    async with client_of(state, token) as client:
        reply = await client.get(path, headers=bearer(token) if token else {})
        assert reply.content_type == "application/json"
        return reply.status, await reply.json()


# --- health -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alive", [True, False])
async def test_healthz(alive: bool) -> None:
    state = FakeState()
    state.shown_health = Health(alive=alive, ready=False)
    assert await get(state, "/healthz") == (200 if alive else 503, {"alive": alive})


async def test_readyz_says_what_is_missing() -> None:
    state = FakeState()
    state.shown_health = Health(alive=True, ready=False, reasons=("gateway-0 is not serving",))
    assert await get(state, "/readyz") == (503, {"ready": False, "reasons": ["gateway-0 is not serving"]})
    state.shown_health = Health(alive=True, ready=True, reasons=("shadow is not running",))
    assert await get(state, "/readyz") == (200, {"ready": True, "reasons": ["shadow is not running"]})


# --- counts and verdicts ------------------------------------------------------------------------------------------------


async def test_counts_are_shown_as_json() -> None:
    state = FakeState()
    counts = Counts()
    counts.add(NOT_MIRRORED, 'odd "reason"\n', by=2)
    state.totals.absorb("boot", counts.everything())
    status, content = await get(state, "/counts")
    assert status == 200
    assert content["shadowproxy_not_mirrored_total"] == [{"labels": {"reason": 'odd "reason"\n'}, "value": 2}]
    assert content["shadowproxy_connections_total"] == []


async def test_single_verdict_lends_its_state() -> None:
    state = FakeState("small")
    status, content = await get(state, "/verdict")
    assert status == 200
    assert content["state"] == "hold"
    assert [each["candidate"] for each in content["verdicts"]] == ["small"]


async def test_several_verdicts_have_no_common_state() -> None:
    _, content = await get(FakeState("small", "large"), "/verdict")
    assert list(content) == ["verdicts"]
    assert await get(FakeState(), "/verdict") == (200, {"verdicts": []})


@pytest.mark.parametrize("asked", ["large", "large-0123456789ab"])
async def test_one_verdict_by_name_or_id(asked: str) -> None:
    status, content = await get(FakeState("small", "large"), f"/verdict?rollout={asked}")
    assert status == 200
    assert content["rollout"] == "large-0123456789ab"
    assert content["gates"]


@pytest.mark.parametrize("path", ["/verdict?rollout=tiny", "/pairs?rollout=tiny"])
async def test_unknown_rollout_is_answered_with_the_known(path: str) -> None:
    state = FakeState("small")
    status, content = await get(state, path)
    assert status == 404
    assert content["error"]["known"] == [{"candidate": "small", "rollout": "small-0123456789ab"}]
    assert "tiny" in content["error"]["message"]
    assert state.asked == []


# --- pairs --------------------------------------------------------------------------------------------------------------


async def test_pairs_are_redacted_unless_asked_otherwise() -> None:
    state = FakeState("small")
    state.kept = [pair("write to ada@example.com", body=r'{"prompt": "Who?\nada@example.com"}')]
    status, content = await get(state, "/pairs")
    assert (status, content["redacted"]) == (200, True)
    (shown,) = content["pairs"]
    assert "ada" not in str(shown)
    assert shown["candidate"]["text"] == shown["control"]["text"] == shown["divergences"][0]["candidate"] == "write to [email]"
    assert shown["request"]["body"] == r'{"prompt": "Who?\n[email]"}'
    assert {key: shown[key] for key in ("id", "route", "rollout", "similarity", "issued_at_s")} == {
        "id": "r-1",
        "route": "chat",
        "rollout": "small-0123456789ab",
        "similarity": 0.91,
        "issued_at_s": 1_700_000_000.0,
    }


async def test_raw_pairs_on_loopback() -> None:
    state = FakeState("small")
    state.kept = [pair("write to ada@example.com")]
    status, content = await get(state, "/pairs?redact=false")
    assert (status, content) == (200, {"redacted": False, "pairs": state.kept})


async def test_pairs_are_asked_for_by_rollout_id() -> None:
    state = FakeState("small", "large")
    state.kept = [pair(id="b", rollout="large-0123456789ab"), pair(id="a")]
    _, content = await get(state, "/pairs?limit=5&rollout=large")
    assert [each["id"] for each in content["pairs"]] == ["b"]
    await get(state, "/pairs")
    assert state.asked == [(5, "large-0123456789ab"), (20, None)]


async def test_silent_shadow_process_is_a_503_with_its_reason() -> None:
    state = FakeState("small")
    state.is_shadow_gone = True
    status, content = await get(state, "/pairs")
    assert status == 503
    assert content["error"]["message"] == "the shadow process did not answer within 5 s"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=٣",
        "limit=",
        "limit=" + "9" * 5000,
        "redact=no",
        "redact=False",
        "redct=false",
        "redact=true&redact=false",
    ],
)
async def test_wrong_parameters_are_refused(query: str) -> None:
    state = FakeState("small")
    status, content = await get(state, f"/pairs?{query}")
    assert status == 400
    assert content["error"]["remedy"]
    assert state.asked == []


# --- errors -------------------------------------------------------------------------------------------------------------


async def test_unknown_path_lists_the_endpoints() -> None:
    status, content = await get(FakeState(), "/nothing")
    assert status == 404
    assert content["error"]["endpoints"] == dict(ENDPOINTS)


#: Endpoints that only show something; the others are commands.
LOOKS = [path for path in ENDPOINTS if path not in ("/reload", "/mirroring", "/flagger/{hook}", "/promotion/{candidate}/{order}")]


def test_listed_endpoints_are_the_served_ones() -> None:
    assert {resource.canonical for resource in build(FakeState(), None).router.resources()} == set(ENDPOINTS)


@pytest.mark.parametrize("path", LOOKS)
async def test_nothing_can_be_written(path: str) -> None:
    async with client_of(FakeState("small")) as client:
        reply = await client.post(path, data=b"x")
        assert reply.status == 405
        assert reply.headers["allow"] == "GET, HEAD"
        assert (await reply.json())["error"]["remedy"] == "use GET, HEAD"


async def test_own_failure_is_a_json_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    state = FakeState()
    state.documents = ({"no": "such document"},)
    status, content = await get(state, "/verdict?rollout=small")
    assert status == 500
    assert "KeyError" not in str(content)
    assert "step admin failed" in caplog.text


@pytest.mark.parametrize("path", [*ENDPOINTS, "/nothing", "/pairs?limit=0"])
async def test_every_reply_is_hardened(path: str) -> None:
    async with client_of(FakeState("small")) as client:
        headers = (await client.get(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["server"] == "shadowproxy"
