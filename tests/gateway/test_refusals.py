"""Hostile and broken bytes: a table of what the gateway refuses, and what the primary never sees."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import orjson
import pytest

from shadowproxy.config import build
from tests.gateway.wires import Upstream, bench, closed_port, post, split, until

BAD_REQUESTS = {
    "not http": b"hello there\r\n\r\n",
    "http 0.9": b"GET /\r\n\r\n",
    "http 1.2": b"GET / HTTP/1.2\r\nhost: t\r\n\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"SMUGGLE / HTTP/1.1\r\nhost: t\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "length and chunked": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "two equal lengths": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "length list": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3, 3\r\n\r\nabc",
    "signed length": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: +3\r\n\r\nabc",
    "negative length": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: -3\r\n\r\nabc",
    "hex length": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0x3\r\n\r\nabc",
    "obs-fold": b"GET / HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n",
    "bare lf": b"GET / HTTP/1.1\nhost: t\n\n",
    "bare cr": b"GET / HTTP/1.1\r\nhost: t\rx: y\r\n\r\n",
    "nul in value": b"GET / HTTP/1.1\r\nhost: t\x00\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nhost : t\r\n\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\nhost: t\r\n\r\n",
    "bare lf in chunks": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "bad chunk size": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "chunk longer than said": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
    "xchunked": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd target": b"GET ftp://t/x HTTP/1.1\r\nhost: t\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_broken_request_is_answered_and_the_connection_closed(name: str) -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(BAD_REQUESTS[name])
        answer = await client.rest()
        first, headers, body = split(answer)
        assert first.split()[1] in (b"400", b"501", b"505")
        assert headers[b"connection"] == b"close"
        error = orjson.loads(body)["error"]
        assert error["type"] == "shadowproxy_error"
        assert len(error["message"]) > 10
        assert sum(b.gateway.bad_requests.values()) == 1
        assert upstream.requests == []


async def test_smuggled_second_request_is_never_forwarded() -> None:
    """The classical TE.CL attack: a front end that believes Content-Length would forward the tail as the next client's request."""
    head = b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n"
    attack = head + b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: t\r\n\r\n"
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(attack)
        assert (await client.rest()).startswith(b"HTTP/1.1 400")
        assert upstream.requests == []


async def test_websocket_upgrade_is_refused_clearly() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"GET /v1/realtime HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        first, _, body = split(await client.rest())
        assert first == b"HTTP/1.1 501 Not Implemented"
        assert b"websocket" in body


async def test_good_request_before_garbage_is_still_answered() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x") + b"garbage\r\n\r\n")
        answer = await client.rest()
        assert answer.endswith(b"ok")
        assert b"connection: close" in answer


async def test_headers_over_the_limit_get_431() -> None:
    async with Upstream() as upstream, bench(upstream.url, limits={"max_header_bytes": 4096}) as b:
        for request in (
            b"GET / HTTP/1.1\r\nhost: t\r\nx: " + b"y" * 5000 + b"\r\n\r\n",
            b"GET /" + b"y" * 5000 + b" HTTP/1.1\r\nhost: t\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: t\r\nx: " + b"y" * 5000,
        ):
            client = await b.client()
            client.send(request)
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 431")
            assert b"headers_too_large" in answer
        assert b.gateway.bad_requests == {"header_bytes": 3}
        client = await b.client()
        assert (await client.ask(b"GET / HTTP/1.1\r\nhost: t\r\nx: " + b"y" * 4000 + b"\r\n\r\n")).endswith(b"ok")


async def test_announced_body_over_the_limit_gets_413() -> None:
    async with Upstream() as upstream, bench(upstream.url, limits={"max_body_bytes": 10}) as b:
        client = await b.client()
        client.send(post(b"x" * 11))
        assert (await client.rest()).startswith(b"HTTP/1.1 413")
        assert upstream.requests == []


async def test_one_connection_too_many_gets_503() -> None:
    async with Upstream() as upstream, bench(upstream.url, limits={"max_connections": 1}) as b:
        first, second = await b.client(), await b.client()
        assert (await first.ask(post(b"x"))).endswith(b"ok")
        assert (await second.rest()).startswith(b"HTTP/1.1 503")
        first.writer.close()
        await until(lambda: not b.gateway._clients)
        third = await b.client()
        assert (await third.ask(post(b"x"))).endswith(b"ok")


async def test_chunked_body_past_the_bound_gets_413_and_the_primary_call_is_cut_off() -> None:
    async with Upstream() as upstream, bench(upstream.url, limits={"max_body_bytes": 10}) as b:
        for rest in (b"ffff\r\n" + b"x" * 500, b"3\r\nabc\r\n" * 4 + b"0\r\n\r\n"):
            client = await b.client()
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await asyncio.sleep(0.02)
            client.send(rest)
            assert (await client.rest()).startswith(b"HTTP/1.1 413")
        await until(lambda: not b.gateway._clients and not b.gateway.pool._busy)
        assert b.gateway.bad_requests == {"body_bytes": 2}
        assert upstream.requests == [], "no whole request arrived there"
        within = await b.client()
        assert (await within.ask(b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")).endswith(b"ok")


async def test_trailers_of_a_reply_that_do_not_end_are_cut_off() -> None:
    async def play(_up: Upstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(b"y" * 50_000)
                await writer.drain()
                await asyncio.sleep(0.002)
        writer.close()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b"x"))
        await client.rest()
        assert b.gateway._failures == {"protocol_error": 1}


async def test_request_that_stops_arriving_gets_408() -> None:
    async with Upstream() as upstream, bench(upstream.url, limits={"client_idle_timeout_s": 0.2}) as b:
        for request in (b"GET / HT", b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc"):
            client = await b.client()
            client.send(request)
            assert (await client.rest()).startswith(b"HTTP/1.1 408")


async def test_unreachable_primary_gives_502_and_the_connection_lives_on() -> None:
    async with bench(f"http://127.0.0.1:{closed_port()}") as b:
        client = await b.client()
        for _ in range(2):
            first, headers, body = split(await client.ask(post(b"x")))
            assert first == b"HTTP/1.1 502 Bad Gateway"
            assert b"connection" not in headers
            error = orjson.loads(body)["error"]
            assert error["code"] == "primary_connect_failed"
            assert "cannot be reached" in error["message"]
        assert b.gateway._failures == {"connect_failed": 2}
        assert b.handover.frames[0].outcome == "connect_failed"


BROKEN_REPLIES = {
    "not http": b"garbage\r\n\r\n",
    "empty": b"",
    "head cut": b"HTTP/1.1 200 OK\r\ncontent-le",
    "te and cl": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "gzip coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
    "switches": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
    "huge head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
}


@pytest.mark.parametrize("name", BROKEN_REPLIES)
async def test_broken_reply_gives_502(name: str) -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(BROKEN_REPLIES[name])
        await writer.drain()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        first, _, body = split(await client.ask(post(b"")))
        assert first == b"HTTP/1.1 502 Bad Gateway", body
        assert orjson.loads(body)["error"]["code"] in ("primary_protocol_error", "primary_reset")


async def test_reply_cut_in_the_middle_does_not_look_complete() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(post(b""))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reply()
        await until(lambda: b.handover.frames)
        assert b.handover.frames[0].outcome == "reset"


async def test_silent_primary_gives_504() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Upstream(play=play) as upstream, bench(upstream.url, primary={"first_byte_timeout_s": 0.2}) as b:
        client = await b.client()
        first, _, body = split(await client.ask(post(b"")))
        assert first == b"HTTP/1.1 504 Gateway Timeout"
        assert orjson.loads(body)["error"]["code"] == "primary_timeout"


async def test_primary_that_stops_reading_the_request_gives_504() -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with Upstream(play=play) as upstream, bench(upstream.url, primary={"idle_timeout_s": 0.3}) as b:
        client = await b.client()
        client.send(post(b"x" * 20_000_000))
        first, _, body = split(await client.reply())
        assert first == b"HTTP/1.1 504 Gateway Timeout"
        assert "took no more of the request" in orjson.loads(body)["error"]["message"]


async def stale_then_fresh(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first connection answers once and is reset by the second request; later connections answer."""
    first = up.connections == 1
    up.requests.append(await reader.readuntil(b"\r\n\r\n"))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    if first:
        up.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        await reader.read()


async def test_get_on_a_stale_connection_is_retried_once() -> None:
    async with Upstream(play=stale_then_fresh) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(2):
            assert (await client.ask(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")).endswith(b"ok")
        assert b.gateway.retried == 1
        assert upstream.connections == 2


async def test_post_on_a_stale_connection_is_not_repeated() -> None:
    async with Upstream(play=stale_then_fresh) as upstream, bench(upstream.url) as b:
        client = await b.client()
        assert (await client.ask(post(b""))).endswith(b"ok")
        assert (await client.ask(post(b""))).startswith(b"HTTP/1.1 502")
        assert b.gateway.retried == 0


async def test_second_reply_in_the_same_read_never_mixes_into_the_first() -> None:
    """An early 401 followed by a 400 for the body that was left unread: both may arrive at once."""
    first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    second = b"HTTP/1.1 400 Bad Request\r\nset-cookie: s=2\r\ncontent-length: 30\r\n\r\n" + b"x" * 30
    async with Upstream(first + second) as upstream, bench(upstream.url) as b:
        client = await b.client()
        for _ in range(2):
            assert await client.ask(post(b"{}")) == first
        assert upstream.connections == 2, "a connection that said too much is not used again"


async def test_trailers_of_a_reply_do_not_become_headers() -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nset-cookie: s=1\r\n\r\n"
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        assert b"set-cookie" not in await client.ask(post(b"{}"))


async def test_h2c_offer_with_trailers_adds_no_header() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        head = b"POST /v1/completions HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = await client.ask(head + b"2\r\nhi\r\n0\r\nx-user-role: admin\r\nhost: evil\r\n\r\n")
        assert answer.endswith(b"ok")
        assert upstream.requests[0].count(b"host:") == 1
        assert b"x-user-role" not in upstream.requests[0]


async def test_other_upgrades_are_ignored_as_http_allows() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        assert (await client.ask(post(b"{}", b"connection: upgrade", b"upgrade: TLS/1.2"))).endswith(b"ok")


async def test_client_that_asks_and_never_reads_is_held_back() -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 150000\r\n\r\n" + b"y" * 150_000
    async with Upstream(reply) as upstream, bench(upstream.url, limits={"client_idle_timeout_s": 0.5}) as b:
        client = await b.client()
        client.send(b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n" * 500)
        await until(lambda: any(connection._is_full for connection in b.gateway._clients))
        (connection,) = b.gateway._clients
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 2_000_000
        await until(lambda: not b.gateway._clients)
        assert len(upstream.requests) < 500


async def test_endless_trailer_gets_431() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        client.send(b"POST /v1/files HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ")
        answer = asyncio.create_task(client.rest())
        for _ in range(40):
            if answer.done():
                break
            client.send(b"y" * 50_000)
            await asyncio.sleep(0.005)
        assert (await answer).startswith(b"HTTP/1.1 431")


async def test_host_of_an_absolute_target_replaces_the_header() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        client = await b.client()
        await client.ask(b"GET http://inner.example/x HTTP/1.1\r\nhost: outer.example\r\n\r\n")
        assert split(upstream.requests[0])[1][b"host"] == b"inner.example"


async def test_host_that_reads_as_two_is_refused() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        for host in (b"a b", b"a,b", b"a@b", b"a/b"):
            client = await b.client()
            client.send(b"GET / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 400")
        assert upstream.requests == []


async def test_reload_does_not_send_a_waiting_request_elsewhere() -> None:
    async with Upstream() as old, Upstream() as new, bench(old.url + "/old") as b:
        client = await b.client()
        client.send(b"POST /v1/files HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nh")
        await until(lambda: b.gateway._clients and next(iter(b.gateway._clients))._current)
        b.gateway.adopt(build({"primary": {"url": new.url + "/new"}, "candidates": [{"name": "v2", "url": new.url}]}))
        assert (await client.ask(b"i")).endswith(b"ok")
        assert old.requests[0].startswith(b"POST /old/v1/files")
        assert (await client.ask(post(b"{}"))).endswith(b"ok")
        assert new.requests[0].startswith(b"POST /new/v1/chat/completions")
