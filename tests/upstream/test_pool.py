"""Connections to a real server on loopback: kept, given out again, swept. The sweep is told the time, so nothing here waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from shadowproxy.config import Tls
from shadowproxy.exchange import Outcome
from shadowproxy.tasks import Tasks
from shadowproxy.upstream.connection import Connection, Receiver, ReplyHead
from shadowproxy.upstream.endpoint import endpoint_of
from shadowproxy.upstream.pool import Pool, Timing
from tests.gateway.wires import Upstream, closed_port, read_message, until

ASKED = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
TIMING = Timing(connect_s=2, first_byte_s=10, idle_s=5, keepalive_s=50)


class Asker(Receiver):
    """A receiver that sends one request and remembers what it was told."""

    def __init__(self, data: bytes = ASKED) -> None:
        self._data = data
        self.connection: Connection | None = None
        self.status = 0
        self.body = b""
        self.is_done = False
        self.failure: tuple[Outcome, str] | None = None

    def connected(self, connection: Connection) -> None:
        self.connection = connection
        connection.write(self._data)
        connection.request_sent(0.0)

    def reply_read(self, at: float, head: ReplyHead | None, body: bytes, is_done: bool) -> None:
        if head is not None:
            self.status = head.status
        self.body += body
        self.is_done = is_done

    def reply_failed(self, outcome: Outcome, message: str) -> None:
        self.failure = (outcome, message)

    def upstream_full(self) -> None:
        raise AssertionError("a request this small fits")

    def upstream_drained(self) -> None:
        raise AssertionError("a request this small fits")


@contextlib.asynccontextmanager
async def pool_to(url: str, *, max_idle: int = 8, timing: Timing = TIMING) -> AsyncIterator[Pool]:
    tasks = Tasks()
    pool = Pool(endpoint_of(url, Tls()), timing, tasks, max_idle=max_idle, max_header_bytes=65536)
    try:
        yield pool
    finally:
        pool.close()
        await tasks.close()


async def ask(pool: Pool, **how: bool) -> Asker:
    asker = Asker()
    pool.acquire(asker, is_head_request=False, **how)
    await until(lambda: asker.is_done or asker.failure)
    return asker


async def test_finished_connection_carries_the_next_exchange() -> None:
    async with Upstream() as up, pool_to(up.url) as pool:
        first, second = await ask(pool), await ask(pool)
        assert (first.status, second.status, second.body) == (200, 200, b"ok")
        assert first.connection is second.connection
        assert (pool.opened, pool.reused, up.connections) == (1, 1, 1)
        assert repr(pool) == f"<Pool 127.0.0.1:{up.port} 1 idle, 0 busy>"


async def test_warmest_connection_goes_first_and_fresh_means_fresh() -> None:
    async with Upstream() as up, pool_to(up.url) as pool:
        askers = [Asker(), Asker()]
        for asker in askers:
            pool.acquire(asker, is_head_request=False)
        await until(lambda: all(asker.is_done for asker in askers))
        last = max(askers, key=lambda asker: asker.connection.since)  # type: ignore[union-attr]
        assert (await ask(pool)).connection is last.connection
        assert (await ask(pool, fresh=True)).connection not in [asker.connection for asker in askers]
        assert pool.opened == 3


async def test_no_more_than_max_idle_are_kept() -> None:
    async with Upstream() as up, pool_to(up.url, max_idle=2) as pool:
        askers = [Asker() for _ in range(5)]
        for asker in askers:
            pool.acquire(asker, is_head_request=False)
        await until(lambda: all(asker.is_done for asker in askers))
        assert "2 idle, 0 busy" in repr(pool)


async def test_connection_that_says_close_is_not_kept() -> None:
    async with Upstream(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok") as up, pool_to(up.url) as pool:
        assert (await ask(pool)).body == b"ok"
        assert "0 idle, 0 busy" in repr(pool)
        await ask(pool)
        assert (pool.opened, pool.reused) == (2, 0)


async def test_idle_connection_that_the_upstream_closed_is_forgotten() -> None:
    async def play(_: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with Upstream(play=play) as up, pool_to(up.url) as pool:
        assert (await ask(pool)).is_done
        await until(lambda: "0 idle" in repr(pool))
        assert (await ask(pool)).is_done
        assert pool.opened == 2


async def test_refused_connection_is_an_outcome_with_a_sentence() -> None:
    async with pool_to(f"http://127.0.0.1:{closed_port()}") as pool:
        assert (await ask(pool)).failure == (Outcome.CONNECT_FAILED, "cannot be reached (connection refused)")
        assert pool.opened == 0


async def test_missing_unix_socket_is_an_outcome_with_a_sentence() -> None:
    async with pool_to("unix:/no/such.sock") as pool:
        assert (await ask(pool)).failure == (Outcome.CONNECT_FAILED, "cannot be reached (no such file or directory)")


async def silent(_: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    await reader.read()


async def silent_after_the_head(_: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    await reader.read()


@pytest.mark.parametrize(
    ("play", "limit_s", "story"),
    [
        (silent, TIMING.first_byte_s, "sent no reply within 10 s"),
        (silent_after_the_head, TIMING.idle_s, "was silent for 5 s in the middle of its reply"),
    ],
)
async def test_sweep_fails_what_is_overdue_and_nothing_before(play, limit_s: float, story: str) -> None:
    async with Upstream(play=play) as up, pool_to(up.url) as pool:
        asker = Asker()
        pool.acquire(asker, is_head_request=False)
        await until(lambda: asker.connection is not None and (play is silent or asker.body))
        assert asker.connection is not None
        pool.sweep(asker.connection.since + limit_s - 0.1)
        assert asker.failure is None
        asker.connection.pause_reading()  # held back because the client is slow: then the silence is ours
        pool.sweep(asker.connection.since + limit_s + 0.1)
        assert asker.failure is None
        asker.connection.resume_reading()
        pool.sweep(asker.connection.since + limit_s + 0.1)
        assert asker.failure == (Outcome.TIMEOUT, story)
        assert "0 idle, 0 busy" in repr(pool)
        await until(up.lost.is_set)


async def test_sweep_closes_what_has_idled_too_long() -> None:
    async with Upstream() as up, pool_to(up.url) as pool:
        await ask(pool)
        pool.sweep(time.monotonic() + TIMING.keepalive_s - 1)
        assert "1 idle" in repr(pool)
        pool.sweep(time.monotonic() + TIMING.keepalive_s + 1)
        assert "0 idle" in repr(pool)
        await until(up.lost.is_set)


async def test_close_tells_the_owners() -> None:
    async with Upstream(play=silent) as up, pool_to(up.url) as pool:
        asker = Asker()
        pool.acquire(asker, is_head_request=False)
        await until(lambda: asker.connection)
        pool.close()
        assert asker.failure == (Outcome.RESET, "was cut off because this process stops")
        assert repr(asker.connection).endswith("closed>")


async def test_given_up_connecting_calls_nobody() -> None:
    async with Upstream() as up, pool_to(up.url) as pool:
        asker = Asker()
        task = pool.acquire(asker, is_head_request=False)
        assert task is not None
        task.cancel()
        await asyncio.wait([task])
        assert asker.connection is None
        assert asker.failure is None
        assert "0 idle, 0 busy" in repr(pool)
