"""A client for an application that is served on a free port of loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from shadowproxy.admin.app import AdminState, build


@asynccontextmanager
async def client_of(state: AdminState, token: str | None = None) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(build(state, token), host="127.0.0.1")) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
