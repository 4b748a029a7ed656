"""The production path: what the client and the primary see."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from tests.gateway.wires import Upstream, bench, post, split, until

GET = b"GET /v1/models HTTP/1.1\r\nhost: test\r\n\r\n"


async def test_reply_and_request_pass_unchanged() -> None:
    reply = b"HTTP/1.1 201 Made It\r\ncontent-length: 5\r\nX-Odd-Case: a  b\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nhello"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        request = post(b'{"model": "m"}', b"X-Custom: Yes", b"Authorization: Bearer k")
        assert await client.ask(request) == reply
        assert upstream.requests == [request]


async def test_keepalive_reuses_both_connections() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(5):
            assert (await client.ask(post(b"x"))).endswith(b"ok")
        assert upstream.connections == 1
        assert b.gateway.pool.reused == 4


async def test_many_parallel_clients_get_their_own_reply() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from tests.gateway.wires import read_message

        while request := await read_message(reader):
            body = hashlib.sha256(split(request)[2]).hexdigest().encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n" + body)

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:

        async def one(number: int) -> None:
            client = await b.client()
            for turn in range(10):
                body = b"%d/%d" % (number, turn) * 50
                assert (await client.ask(post(body))).endswith(hashlib.sha256(body).hexdigest().encode())

        await asyncio.gather(*(one(number) for number in range(50)))


async def test_chunked_reply_passes_with_its_bytes() -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        first, headers, body = split(await client.ask(post(b"x")))
        assert first == b"HTTP/1.1 200 OK"
        assert headers[b"transfer-encoding"] == b"chunked"
        assert dechunked(body) == b"hello world"
        assert b"".join(piece for _, piece in b.handover.frames[0].reads) == b"hello world"


def dechunked(body: bytes) -> bytes:
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return out
        out += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


async def test_sse_event_arrives_before_the_next_is_sent() -> None:
    go_on = asyncio.Event()

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"x")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n")
        await go_on.wait()
        writer.write(b"9\r\ndata: b\n\n\r\n0\r\n\r\n")
        await writer.drain()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x"))
        async with asyncio.timeout(30):
            await client.reader.readuntil(b"data: a\n\n\r\n")
        go_on.set()
        assert (await client.reply(has_body=False)) is not None
        await until(lambda: b.handover.frames)
        (first, a), (second, c) = b.handover.frames[0].reads
        assert (a, c) == (b"data: a\n\n", b"data: b\n\n")
        assert second >= first > 0


async def test_chunked_request_is_reframed_whole() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.send(b"4;x=y\r\ndefg\r\n0\r\nX-Secret-Trailer: 1\r\n\r\n")
        assert (await client.reply()).endswith(b"ok")
        _, headers, body = split(upstream.requests[0])
        assert headers[b"transfer-encoding"] == b"chunked"
        assert dechunked(body) == b"abcdefg"
        assert b"x-secret-trailer" not in upstream.requests[0].lower()
        assert b.handover.frames[0].body == b"abcdefg"


async def test_expect_continue_is_answered_before_the_body() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"POST /v1/x HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert await client.reply(has_body=False) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(b"abc")).endswith(b"ok")
        assert b"expect" not in upstream.requests[0].lower()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_replies_without_body(status: bytes) -> None:
    reply = b"HTTP/1.1 " + status + b"\r\netag: x\r\ncontent-length: 100\r\n\r\n"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(3):
            client.send(GET)
            assert await client.reply(has_body=False) == reply
        assert upstream.connections == 1


async def test_head_reply_keeps_its_length_and_the_connection() -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(3):
            client.send(b"HEAD / HTTP/1.1\r\nhost: t\r\n\r\n")
            assert await client.reply(has_body=False) == reply
        assert upstream.connections == 1


async def test_interim_replies_of_the_primary_are_swallowed() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(2):
            assert await client.ask(GET) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_reply_that_ends_with_the_connection_becomes_chunked() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(2):
            _, headers, body = split(await client.ask(GET))
            assert headers[b"transfer-encoding"] == b"chunked"
            assert dechunked(body) == b"until the end"


async def test_http_1_0_client_gets_a_close_delimited_body() -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        _, headers, body = split(await client.rest())
        assert body == b"hello"
        assert headers[b"connection"] == b"close"
        assert b"transfer-encoding" not in headers


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(line), line))

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: t\r\n\r\n" % number for number in range(20)))
        for number in range(20):
            assert (await client.reply()).endswith(b"\r\n/%d" % number)


async def test_early_reply_reaches_a_client_that_still_sends() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1000)
        first, headers, body = split(await client.reply())
        assert (first, body) == (b"HTTP/1.1 413 Too Large", b"big")
        assert headers[b"connection"] == b"close"
        client.send(b"x" * 100_000)
        assert await client.rest() == b""


async def test_client_that_goes_away_cancels_the_primary_call() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        up.requests.append(b"seen")
        await reader.read()  # ends when the gateway closes

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x"))
        await until(lambda: upstream.requests)
        client.writer.close()
        async with asyncio.timeout(30):
            await upstream.lost.wait()
        await until(lambda: b.gateway._aborts)
        assert b.gateway._aborts == {"chat": 1}
        assert b.gateway._not_mirrored == {"client_gone": 1}
        assert b.handover.frames == []


async def test_half_closed_client_still_gets_its_reply() -> None:
    go_on = asyncio.Event()

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(GET)
        client.writer.write_eof()
        assert (await client.reply(has_body=False)).startswith(b"HTTP/1.1 100")
        go_on.set()
        assert (await client.rest()).endswith(b"\r\n\r\nok")


async def test_hop_by_hop_fields_stay_behind_both_ways() -> None:
    reply = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive, X-Reply-Hop\r\nX-Reply-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\nok"
    )
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        answer = await client.ask(
            b"GET / HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, x-hop, host, content-length\r\nx-hop: 1\r\n"
            b"te: trailers\r\nproxy-connection: x\r\nx-stays: 1\r\n\r\n"
        )
        assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        assert upstream.requests == [b"GET / HTTP/1.1\r\nhost: t\r\nx-stays: 1\r\n\r\n"]


async def test_large_bodies_pass_both_ways_under_back_pressure() -> None:
    size = 20_000_000

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from tests.gateway.wires import read_message

        request = await read_message(reader)
        up.requests.append(hashlib.sha256(split(request)[2]).digest())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            writer.write(b"y" * 100_000)
            await writer.drain()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x" * size))
        head = await client.reply(has_body=False)
        assert b"content-length: 20000000" in head
        await until(lambda: all(connection.is_paused for connection in b.gateway.pool._busy))
        (held,) = b.gateway._clients
        assert b.gateway.pool._busy, "the reply is held back while nobody reads it"
        assert held._transport is not None
        assert held._transport.get_write_buffer_size() < 1_000_000, "and what is kept of it is bounded"
        got = hashlib.sha256()
        left = size
        async with asyncio.timeout(20):
            while left:
                piece = await client.reader.read(65536)
                got.update(piece)
                left -= len(piece)
        assert got.digest() == hashlib.sha256(b"y" * size).digest()
        assert upstream.requests == [hashlib.sha256(b"x" * size).digest()]
        assert b.gateway._not_mirrored == {"request_too_large": 1}


async def test_slow_upstream_holds_the_client_back() -> None:
    go_on = asyncio.Event()

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        up.requests.append(await reader.readexactly(30_000_000))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x" * 30_000_000, path=b"/v1/files"))
        await until(lambda: any(connection._held_back for connection in b.gateway._clients))
        (connection,) = b.gateway.pool._busy
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 1_000_000
        go_on.set()
        assert (await client.reply()).endswith(b"ok")


async def test_upgrade_to_h2c_is_ignored_and_the_body_still_passes() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        upgrade = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAA")
        for _ in range(2):
            assert (await client.ask(post(b"abc", *upgrade))).endswith(b"ok")
        assert [split(request)[2] for request in upstream.requests] == [b"abc", b"abc"]
        assert b"upgrade" not in upstream.requests[0].lower()


async def test_absolute_form_becomes_a_path() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        await client.ask(b"GET http://test/v1/models?x=1 HTTP/1.1\r\nhost: test\r\n\r\n")
        assert upstream.requests[0].startswith(b"GET /v1/models?x=1 HTTP/1.1\r\n")


async def test_path_prefix_and_host_of_the_primary() -> None:
    async with Upstream() as upstream, bench(upstream.url + "/base/", primary={"host": "upstream"}) as b:
        client = await b.client()
        await client.ask(GET)
        first, headers, _ = split(upstream.requests[0])
        assert first == b"GET /base/v1/models HTTP/1.1"
        assert headers[b"host"] == b"127.0.0.1:%d" % upstream.port
