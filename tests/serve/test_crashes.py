"""What happens to clients and to the counts when our own processes are killed or hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import orjson
import pytest
import pytest_asyncio

from shadowproxy.testing.echo import EchoServer
from tests.serve.serving import Scrape, Serving, eventually, serving
from tests.serve.wire import Caller, Reply, ask, echo_tree, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUFFER_BYTES = 65536
#: A request and its reply of a few kB each: a hung reader's buffers fill within a second.
ASKED = request("POST", b"x" * 4000, "x-echo-bytes: 8000")


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
        tree = echo_tree(primary.url, candidate.url, handover={"buffer_bytes": BUFFER_BYTES}, verdict={"interval_s": 0.1})
        yield Bench(await stack.enter_async_context(serving(tree)), primary, candidate)


class Load:
    """Clients that ask without pause, each on its own connection, and compare every reply."""

    def __init__(self, serve: Serving, expected: Reply, clients: int = 4) -> None:
        self._serve = serve
        self._expected = expected
        self._clients = clients
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.replies = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask_on()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        await asyncio.gather(*self._tasks)  # a client that got an error or another reply fails the test here

    async def _ask_on(self) -> None:
        async with Caller(self._serve.url) as caller:
            while not self._ended.is_set():
                assert (await caller.ask(ASKED)).seen == self._expected.seen
                self.replies += 1

    async def more(self, replies: int = 100) -> None:
        """Wait until so many more replies came."""
        until = self.replies + replies
        await eventually(lambda: self.replies >= until or any(task.done() for task in self._tasks))


def not_mirrored(scrape: Scrape) -> float:
    return scrape.value("shadowproxy_not_mirrored_total")


async def nothing_uncounted(serve: Serving, replies: float) -> Scrape:
    """Every request was handed over, or has a reason why not."""
    await serve.wait_until(lambda scrape: scrape.value("shadowproxy_requests_total") >= replies)
    scrape = await serve.settled()
    assert scrape.value("shadowproxy_requests_total") == replies
    assert scrape.value("shadowproxy_handed_over_total") + not_mirrored(scrape) == replies
    return scrape


async def judged(serve: Serving, at_least: int) -> int:
    """Issued pairs in the verdict, which is looked at now and then and so a moment behind the counts."""
    async with asyncio.timeout(30):
        while (issued := (await serve.verdict())["issued"]) < at_least:
            await asyncio.sleep(0.02)
    return int(issued)


async def test_killed_shadow_process_costs_evidence_and_never_a_reply(bench: Bench) -> None:
    serve = bench.serve
    expected = await ask(bench.primary.url, ASKED)
    replies = (await serve.settled()).value("shadowproxy_requests_total")
    async with Load(serve, expected) as load:
        await load.more(300)
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_pairs_resolved_total", outcome="ok") > 100)
        pairs_before = await judged(serve, at_least=100)
        (victim,) = serve.pids("shadow")
        os.kill(victim, signal.SIGKILL)
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_process_starts_total", role="shadow") >= 2)
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_not_mirrored_total", reason="handover_gone") > 0)
        assert (await serve.get("/readyz"))[0] == 200  # clients are still welcome
        received = await serve.metric("shadowproxy_received_total")
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_received_total") > received + 100)
        await load.more(200)
    scrape = await nothing_uncounted(serve, replies + load.replies)
    assert scrape.value("shadowproxy_received_total") <= scrape.value("shadowproxy_handed_over_total")
    verdict = await serve.verdict()
    assert 0 < pairs_before <= verdict["issued"] == scrape.value("shadowproxy_pairs_issued_total")
    assert serve.pids("shadow") != [victim]
    assert "shadow ended with signal SIGKILL; restarting" in serve.log


async def test_hung_shadow_process_fills_a_bounded_buffer_and_never_holds_a_reply(bench: Bench) -> None:
    serve = bench.serve
    expected = await ask(bench.primary.url, ASKED)
    before = await serve.settled()
    (hung,) = serve.pids("shadow")
    async with Load(serve, expected) as load:
        await load.more(50)
        os.kill(hung, signal.SIGSTOP)
        try:
            await serve.wait_until(lambda scrape: scrape.value("shadowproxy_not_mirrored_total", reason="handover_full") > 100)
            # Full, and clients are served on.
            await load.more(300)
            status, body = await serve.get("/pairs")
            assert status == 503
            assert "did not answer" in orjson.loads(body)["error"]["message"]
        finally:
            os.kill(hung, signal.SIGCONT)
        received = await serve.metric("shadowproxy_received_total")
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_received_total") > received + 100)
    scrape = await nothing_uncounted(serve, before.value("shadowproxy_requests_total") + load.replies)
    assert serve.pids("shadow") == [hung]
    # This boot lost nothing that was handed over to it.
    lost = scrape.value("shadowproxy_handed_over_total") - scrape.value("shadowproxy_received_total")
    assert lost == before.value("shadowproxy_handed_over_total") - before.value("shadowproxy_received_total")
    assert scrape.value("shadowproxy_process_starts_total", role="shadow") == before.value(
        "shadowproxy_process_starts_total", role="shadow"
    )


async def test_killed_gateway_worker_is_replaced_and_its_counts_stay(bench: Bench) -> None:
    serve = bench.serve
    before = await serve.settled()
    (victim,) = serve.pids("gateway")
    os.kill(victim, signal.SIGKILL)
    # Its successor inherits the listening socket: whoever connects meanwhile waits instead of being refused.
    assert (await ask(serve.url, ASKED)).status == 200
    scrape = await serve.wait_for("shadowproxy_requests_total", before.value("shadowproxy_requests_total") + 1)
    assert scrape.value("shadowproxy_process_starts_total", role="gateway") == 2
    assert serve.pids("gateway") != [victim]
    assert (await serve.get("/readyz"))[0] == 200


async def test_orphans_end_by_themselves_when_the_supervisor_is_killed() -> None:
    async with EchoServer(lifetime_s=600) as upstream:
        tree = echo_tree(upstream.url, upstream.url)
        async with serving({**tree, "workers": 2}, stops_cleanly=False) as serve:
            assert len(serve.everyone()) == 4
            assert serve.process is not None
            serve.process.kill()
            await eventually(lambda: serve.everyone() == [])
            assert "Traceback" not in serve.log


async def test_a_ceiling_holds_over_a_restart_of_the_shadow_process() -> None:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(EchoServer(lifetime_s=60))
        candidate = await stack.enter_async_context(EchoServer(lifetime_s=60))
        tree = echo_tree(primary.url, candidate.url)
        (arm,) = tree["candidates"]
        # What is no answer of a model reports nothing, and is billed by its length: some three thousand tokens a copy.
        serve = await stack.enter_async_context(serving({**tree, "candidates": [{**arm, "ceiling": {"tokens": 10_000}}]}))
        for _ in range(2):
            await ask(serve.address, ASKED)
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_spent_tokens_total") > 4000)
        spent = (await serve.settled()).value("shadowproxy_spent_tokens_total")
        (shadow,) = serve.pids("shadow")
        os.kill(shadow, signal.SIGKILL)
        await eventually(lambda: serve.pids("shadow") not in ([], [shadow]))
        scrape = await serve.scrape()
        while not scrape.value("shadowproxy_not_mirrored_total", reason="ceiling"):
            await ask(serve.address, ASKED)
            scrape = await serve.settled()
        assert spent < scrape.value("shadowproxy_spent_tokens_total") < 10_000 + spent
