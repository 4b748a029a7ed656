"""An application that is served for the time of a test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer


@pytest_asyncio.fixture
async def aiohttp_served() -> AsyncIterator[Callable[[web.Application], Awaitable[TestClient]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def serve(app: web.Application) -> TestClient:
            return await stack.enter_async_context(TestClient(TestServer(app, host="127.0.0.1")))

        yield serve
