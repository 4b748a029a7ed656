"""Where the surface listens: TCP, Unix sockets, sockets bound before, and addresses it must not take."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from shadowproxy.admin.app import build, serve
from shadowproxy.errors import StartError
from tests.admin.clients import bearer
from tests.admin.fake_state import FakeState, pair


async def status_of(address: str, path: str = "/healthz", headers: dict[str, str] | None = None) -> int:
    unix = address.removeprefix("unix:") if address.startswith("unix:") else None
    connector = aiohttp.UnixConnector(unix) if unix else aiohttp.TCPConnector()
    url = f"http://{'shadowproxy.example' if unix else address}{path}"
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url, headers=headers) as reply:
        return reply.status


async def test_free_port_is_told() -> None:
    surface = await serve(build(FakeState(), None), "127.0.0.1:0")
    try:
        assert not surface.address.endswith(":0")
        assert repr(surface) == f"<Surface {surface.address}>"
        assert await status_of(surface.address) == 200
    finally:
        await surface.close()
    with pytest.raises(aiohttp.ClientConnectorError):
        await status_of(surface.address)


async def test_unix_socket_is_served_raw_and_under_any_host(tmp_path: Path) -> None:
    state = FakeState("small")
    state.kept = [pair()]
    path = tmp_path / "admin.sock"
    surface = await serve(build(state, None), f"unix:{path}")
    try:
        assert surface.address == f"unix:{path}"
        assert await status_of(surface.address, "/pairs?redact=false") == 200
    finally:
        await surface.close()
    assert not path.exists()


async def test_unix_socket_of_a_killed_predecessor_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    surface = await serve(build(FakeState(), None), f"unix:{path}")
    try:
        assert await status_of(surface.address) == 200
    finally:
        await surface.close()


async def test_unix_socket_in_use_is_not_stolen(tmp_path: Path) -> None:
    first = await serve(build(FakeState(), None), f"unix:{tmp_path}/admin.sock")
    try:
        with pytest.raises(StartError, match="cannot listen"):
            await serve(build(FakeState(), None), first.address)
        assert await status_of(first.address) == 200
    finally:
        await first.close()


async def test_bound_socket_is_served() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    surface = await serve(build(FakeState(), None), sock)
    try:
        assert surface.address == f"127.0.0.1:{sock.getsockname()[1]}"
        assert await status_of(surface.address) == 200
    finally:
        await surface.close()
    assert sock.fileno() == -1


async def test_port_in_use_is_a_start_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError, match="cannot listen"):
        await serve(build(FakeState(), None), f"127.0.0.1:{taken.getsockname()[1]}")


async def test_open_address_needs_a_token() -> None:
    with pytest.raises(StartError, match=r"set admin\.token"):
        await serve(build(FakeState(), None), "0.0.0.0:0")
    surface = await serve(build(FakeState("small"), "secret"), "0.0.0.0:0")
    try:
        address = f"127.0.0.1:{surface.address.rpartition(':')[2]}"
        assert await status_of(address, "/verdict", bearer("secret")) == 200
        assert await status_of(address, "/verdict") == 401
    finally:
        await surface.close()


async def test_close_waits_for_the_reply_on_its_way() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class Slow(FakeState):
        async def pairs(self, limit: int, rollout: str | None) -> tuple[dict[str, object], ...]:
            entered.set()
            await leave.wait()
            return ()

    surface = await serve(build(Slow("small"), None), "127.0.0.1:0")
    asked = asyncio.ensure_future(status_of(surface.address, "/pairs"))
    await asyncio.wait_for(entered.wait(), 30)
    closing = asyncio.ensure_future(surface.close())
    leave.set()
    assert await asyncio.wait_for(asked, 30) == 200
    await asyncio.wait_for(closing, 30)
