"""Token, host guard, and where the surface may be open."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from shadowproxy.admin.access import Access, is_local
from shadowproxy.admin.app import ENDPOINTS, build
from tests.admin.clients import bearer, client_of
from tests.admin.fake_state import FakeState, pair
from tests.admin.test_app import LOOKS

TOKEN = "correct horse é"
PROBES = ("/healthz", "/readyz")
CLOSED = tuple(path for path in (*ENDPOINTS, "/nothing") if path not in PROBES)


# --- token --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer correct horse"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": f"Bearer {TOKEN} x"},
    ],
    ids=str,
)
async def test_closed_without_the_token(path: str, headers: dict[str, str]) -> None:
    async with client_of(FakeState("small"), TOKEN) as client:
        reply = await client.get(path, headers=headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert "TOKEN" in (await reply.json())["error"]["remedy"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_open_with_the_token(scheme: str) -> None:
    async with client_of(FakeState("small"), TOKEN) as client:
        for path in LOOKS:
            assert (await client.get(path, headers={"authorization": f"{scheme} {TOKEN}"})).status == 200


@pytest.mark.parametrize("path", PROBES)
async def test_probes_need_no_token(path: str) -> None:
    async with client_of(FakeState(), TOKEN) as client:
        assert (await client.get(path)).status == 200


async def test_raw_pairs_with_the_token() -> None:
    state = FakeState("small")
    state.kept = [pair("ada@example.com")]
    async with client_of(state, TOKEN) as client:
        reply = await client.get("/pairs?redact=false", headers=bearer(TOKEN))
        assert (await reply.json())["pairs"][0]["primary"]["text"] == "ada@example.com"


async def test_browser_gets_the_page_to_sign_in_on() -> None:
    async with client_of(FakeState("small"), TOKEN) as client:
        reply = await client.get("/", headers={"accept": "text/html,*/*"})
        assert reply.status == 401
        assert reply.content_type == "text/html"
        assert 'id="sign-in"' in await reply.text()
        elsewhere = await client.get("/pairs", headers={"accept": "text/html,*/*"})
        assert elsewhere.content_type == "application/json"


class Connection(asyncio.Transport):
    """A connection that only knows where it came to."""

    def __init__(self, own: object) -> None:
        super().__init__({"sockname": own})


@pytest.mark.parametrize(
    ("token", "own", "expected"),
    [
        (None, ("10.0.0.1", 9901), False),
        (TOKEN, ("10.0.0.1", 9901), True),
        (None, ("127.0.0.1", 9901), True),
        (None, "/run/admin.sock", True),
    ],
)
def test_raw_text_needs_the_token_or_this_machine(token: str | None, own: object, expected: bool) -> None:
    request = make_mocked_request("GET", "/pairs", transport=Connection(own))
    assert Access(token, web.Response).may_see_raw(request) is expected


def test_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        build(FakeState(), "")


# --- host guard ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9901", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:9901"])
async def test_loopback_names_are_served(host: str) -> None:
    async with client_of(FakeState()) as client:
        assert (await client.get("/verdict", headers={"host": host})).status == 200


@pytest.mark.parametrize("path", ["/", *PROBES, "/pairs", "/nothing"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9901",
        "[::1].evil.example",
        "evil.example:80:127.0.0.1",
        "192.168.1.4",
        "",
    ],
)
async def test_rebound_names_are_refused(host: str, path: str) -> None:
    async with client_of(FakeState()) as client:
        reply = await client.get(path, headers={"host": host})
        assert reply.status == 403
        assert "127.0.0.1" in (await reply.json())["error"]["remedy"]


async def test_host_is_free_with_a_token() -> None:
    async with client_of(FakeState(), TOKEN) as client:
        assert (await client.get("/verdict", headers={"host": "shadowproxy.example", **bearer(TOKEN)})).status == 200


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.9.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("0.0.0.0", 1), False),
        (("::", 1, 0, 0), False),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        ("/run/admin.sock", True),
        (b"\0abstract", True),
        (None, False),
    ],
)
def test_what_is_local(address: object, expected: bool) -> None:
    assert is_local(address) is expected
