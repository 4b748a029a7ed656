"""What clients see through two workers is what the primary sent: 50 at once, in every framing, streamed as it comes; and bad input."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest
import pytest_asyncio

from shadowproxy.testing.echo import EchoServer
from tests.serve.serving import Serving, serving
from tests.serve.wire import ECHO_PATH, ECHO_ROUTE, Caller, ask, echo_tree, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Bodies are arbitrary bytes; those that look like JSON and are none would not be mirrored.
NOT_JSON = "content-type: application/octet-stream"


@dataclass
class Bench:
    serve: Serving
    primary: EchoServer
    candidate: EchoServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(EchoServer(lifetime_s=600))
        candidate = await stack.enter_async_context(EchoServer(lifetime_s=600))
        tree = echo_tree(primary.url, candidate.url, workers=2)
        yield Bench(await stack.enter_async_context(serving(tree)), primary, candidate)


def mixture(dice: random.Random) -> bytes:
    """One request of any kind that a client may send."""
    body = bytes(dice.choices(b'abc{}"\\ \r\n\0\xff', k=dice.choice((0, 1, 100, 5_000, 120_000))))
    odd = "X-Odd-Name: \tkept " + "".join(dice.choices("abc", k=8))
    match dice.choice(("length", "chunked", "sse", "close", "204", "304", "head", "get", "error")):
        case "head":
            return request("HEAD", b"", "x-echo: head", odd)
        case "get":
            return request("GET", b"", odd, target="/v1/models?limit=1")
        case "error":
            return request("POST", body, "x-echo-status: 429", NOT_JSON, odd)
        case framing:
            padding = f"x-echo-bytes: {dice.choice((0, 10_000, 300_000))}"
            return request("POST", body, f"x-echo: {framing}", NOT_JSON, padding, odd, chunked=dice.random() < 0.5)


async def same_directly_and_through(bench: Bench, seed: int) -> tuple[int, int]:
    """One client's life: (POSTs, connections opened)."""
    dice = random.Random(seed)
    posts = 0
    async with Caller(bench.primary.url) as direct, Caller(bench.serve.url) as through:
        for _ in range(8):
            asked = mixture(dice)
            first, second = await direct.ask(asked), await through.ask(asked)
            assert first.seen == second.seen
            posts += asked.startswith(b"POST")
    return posts, through.opened


async def test_fifty_clients_get_the_primary_s_bytes_and_every_post_becomes_a_pair(bench: Bench) -> None:
    before = await bench.serve.settled()
    lives = await asyncio.gather(*(same_directly_and_through(bench, seed) for seed in range(50)))
    posts, opened = (sum(column) for column in zip(*lives, strict=True))
    assert posts > 200
    issued = before.value("shadowproxy_pairs_issued_total")
    await bench.serve.wait_for("shadowproxy_requests_total", before.value("shadowproxy_requests_total") + 50 * 8)
    scrape = await bench.serve.wait_for("shadowproxy_pairs_resolved_total", issued + posts)
    assert scrape.value("shadowproxy_pairs_issued_total") == issued + posts
    assert scrape.value("shadowproxy_connections_total") - before.value("shadowproxy_connections_total") == opened
    assert scrape.value("shadowproxy_not_mirrored_total", reason="method") == 50 * 8 - posts
    assert scrape.by("reason", "shadowproxy_not_mirrored_total").keys() == {"method"}
    assert bench.candidate.requests == posts
    assert scrape.value("shadowproxy_step_failures_total") == 0


async def test_both_workers_serve_and_their_counts_add_up(bench: Bench) -> None:
    before = (await bench.serve.settled()).value("shadowproxy_requests_total")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(40):
            caller = await stack.enter_async_context(Caller(bench.serve.url))
            assert (await caller.ask(request("GET"))).status == 200
        await bench.serve.wait_for("shadowproxy_requests_total", before + 40)
        scrape = await bench.serve.wait_for("shadowproxy_open_connections", 40)
        by_worker = scrape.by("worker", "shadowproxy_open_connections")
        assert by_worker.keys() == {"gateway-0", "gateway-1"}
        assert min(by_worker.values()) > 0
    assert len(bench.serve.pids("gateway")) == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_sees_events_as_they_come(bench: Bench) -> None:
    """The first event is there while the upstream still has most of its events to send."""
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", "--max-time", "20", "-d", "{}", "-H", "x-echo: sse", "-H", "x-echo-events: 8", "-H", "x-echo-interval-ms: 200",
        f"{bench.serve.url}{ECHO_PATH}", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert curl.stdout is not None
    loop = asyncio.get_running_loop()
    came = []
    async with asyncio.timeout(20):
        while line := await curl.stdout.readline():
            if line.strip():
                came.append((loop.time(), line))
        assert await curl.wait() == 0
    assert [line for _, line in came][-1] == b"data: [DONE]\n"
    assert len(came) == 9
    # Eight pauses of 200 ms lie between the first event and the last; had they come together, there would be none.
    assert came[-1][0] - came[0][0] > 0.8


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: no\r\n\r\n"]
)
async def test_what_is_no_request_gets_400_and_the_connection_is_closed(bench: Bench, garbage: bytes) -> None:
    asked = bench.primary.requests
    async with Caller(bench.serve.url) as caller:
        reader, _ = await caller.open()
        reply = await caller.ask(garbage)
        assert reply.status == 400
        assert reply.closes
        assert orjson.loads(reply.body)["error"]["code"] == "bad_request"
        async with asyncio.timeout(30):
            assert await reader.read() == b""
    assert bench.primary.requests == asked


async def test_unreachable_primary_is_a_502_in_json_and_nothing_more() -> None:
    tree = {"primary": {"url": "http://127.0.0.1:1"}, "embed": {"backend": "none"}, "routes": [ECHO_ROUTE]}
    async with serving(tree) as serve:
        assert serve.pids("shadow") == []  # nothing to compare with: no such process
        for _ in range(2):
            reply = await ask(serve.url, request("POST", b"{}"))
            assert reply.status == 502
            assert orjson.loads(reply.body)["error"]["code"] == "primary_connect_failed"
        await serve.wait_for("shadowproxy_primary_failures_total", 2, reason="connect_failed")
        await serve.wait_for("shadowproxy_not_mirrored_total", 2, reason="no_candidates")
        assert (await serve.get("/readyz"))[0] == 200
