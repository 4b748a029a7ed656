"""A server that answers queries with what it is told to, in place of Prometheus: for answers that a healthy one does not give."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from shadowproxy.sources import promql


class FakePrometheus:
    """``answer`` is (status, body as JSON or bytes)."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, vector())
        self.queries: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.queries.append(str((await request.post())["query"]))
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        status, body = self.answer
        return web.Response(status=status, body=body if isinstance(body, bytes) else orjson.dumps(body))


def vector(*samples: tuple[dict[str, str], float | str], now_s: float = 1000.0, **more: Any) -> dict[str, Any]:
    """A successful reply with these samples and the time."""
    series = [({promql.PART: promql.NOW}, now_s), *samples]
    result = [{"metric": labels, "value": [now_s, str(value)]} for labels, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def sample(part: str, value: float | str, **labels: str) -> tuple[dict[str, str], float | str]:
    return {promql.PART: part, **labels}, value


@contextlib.asynccontextmanager
async def fake_prometheus() -> AsyncIterator[FakePrometheus]:
    fake = FakePrometheus()
    app = web.Application()
    app.router.add_post("/prefix/api/v1/query", fake.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        fake.url = str(server.make_url("/prefix"))
        yield fake
