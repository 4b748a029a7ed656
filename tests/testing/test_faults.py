"""Each fault seen with a raw socket: nothing in between that could repair it."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from shadowproxy.testing.faults import ERROR_BODY, GOOD_BODY, Fault, FaultyServer
from tests.testing.wire_client import RawClient, ask, request, until

POST = request("POST", body=b'{"messages": []}')


async def test_none_is_a_good_reply() -> None:
    async with FaultyServer("none") as server:
        received = await ask(server.port, POST)
        assert (received.status, received.body) == (200, GOOD_BODY)
        assert received.fields(b"content-length") == [str(len(GOOD_BODY)).encode()]
        assert (server.connections, server.requests) == (1, 1)


def test_shipped_bodies_are_json() -> None:
    assert orjson.loads(GOOD_BODY)["choices"][0]["finish_reason"] == "stop"
    assert orjson.loads(ERROR_BODY)["error"]["type"] == "server_error"


async def test_hang_takes_the_request_and_stays_silent() -> None:
    async with FaultyServer(Fault.HANG) as server, RawClient(server.port) as client:
        client.send(POST)
        await until(lambda: server.requests == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        assert client.is_silent()


async def test_hang_lets_go_when_the_client_leaves() -> None:
    async with FaultyServer(Fault.HANG) as server:
        async with RawClient(server.port) as client:
            client.send(POST)
            await until(lambda: server.requests == 1)
            assert server.open_connections == 1
        await until(lambda: server.open_connections == 0)


async def test_hang_mid_stream_sends_two_events_then_nothing() -> None:
    async with FaultyServer(Fault.HANG_MID_STREAM) as server, RawClient(server.port) as client:
        client.send(POST)
        received = await client.read_until(b" there")
        assert received.status == 200
        assert received.fields(b"content-type") == [b"text/event-stream"]
        await client.read_until(b"\n\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        assert client.is_silent()


async def test_reset_arrives_as_reset_and_not_as_close() -> None:
    async with FaultyServer(Fault.RESET) as server:
        received = await ask(server.port, POST)
        assert (received.data, received.was_reset) == (b"", True)


async def test_close_mid_reply_sends_half_of_the_announced_body() -> None:
    async with FaultyServer(Fault.CLOSE_MID_REPLY) as server:
        received = await ask(server.port, POST)
        assert received.fields(b"content-length") == [str(len(GOOD_BODY)).encode()]
        assert 0 < len(received.body) < len(GOOD_BODY)
        assert GOOD_BODY.startswith(received.body)
        assert not received.was_reset


async def test_garbage_is_no_http() -> None:
    async with FaultyServer(Fault.GARBAGE) as server:
        received = await ask(server.port, POST)
        assert received.data
        assert not received.data.isascii()
        assert b"HTTP" not in received.data


async def test_endless_reply_stops_at_its_bound_without_a_last_chunk() -> None:
    async with FaultyServer(Fault.ENDLESS, endless_bytes=3 * 65536) as server:
        received = await ask(server.port, POST)
        assert received.data.count(b"\r\nendless ") == 3
        assert not received.data.endswith(b"0\r\n\r\n")


async def test_endless_reply_waits_for_a_client_that_does_not_read() -> None:
    async with FaultyServer(Fault.ENDLESS) as server:
        async with RawClient(server.port) as client:
            client.send(POST)
            await client.read_until(b"endless ")
            assert server.open_connections == 1
        await until(lambda: server.open_connections == 0)


async def test_slow_drip_is_a_good_reply_in_single_bytes() -> None:
    async with FaultyServer(Fault.SLOW_DRIP, drip_interval_s=0.0) as server:
        received = await ask(server.port, POST)
        assert (received.status, received.body) == (200, GOOD_BODY)


async def test_slow_drip_pauses_between_bytes() -> None:
    async with FaultyServer(Fault.SLOW_DRIP, drip_interval_s=3600.0) as server, RawClient(server.port) as client:
        client.send(POST)
        assert await client.reader.read(65536) == b"H"


async def test_bad_chunk_follows_a_good_one() -> None:
    async with FaultyServer(Fault.BAD_CHUNK) as server:
        received = await ask(server.port, POST)
        assert received.fields(b"transfer-encoding") == [b"chunked"]
        size, _, rest = received.body.partition(b"\r\n")
        assert rest[int(size, 16) :].startswith(b"\r\nzz\r\n")


async def test_error_500_is_well_formed() -> None:
    async with FaultyServer(Fault.ERROR_500) as server:
        received = await ask(server.port, POST)
        assert (received.status, received.body) == (500, ERROR_BODY)


async def test_error_in_stream_ends_the_body_properly_but_without_a_finish() -> None:
    async with FaultyServer(Fault.ERROR_IN_STREAM) as server, RawClient(server.port) as client:
        client.send(POST)
        received = await client.read_to_end()
        events = received.dechunked().split(b"\n\n")
        assert received.status == 200
        assert orjson.loads(events[0].removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "Hello"
        assert orjson.loads(events[1].removeprefix(b"data: ")) == orjson.loads(ERROR_BODY)
        assert b"[DONE]" not in received.data


async def test_early_reply_comes_before_the_body_is_sent() -> None:
    async with FaultyServer(Fault.EARLY_REPLY) as server, RawClient(server.port) as client:
        client.send(request("POST", "Content-Length: 1000000"))
        received = await client.read_to_end()
        assert (received.status, received.body, received.was_reset) == (413, ERROR_BODY, False)
        client.send(b"x" * 1_000_000)
        await client.writer.drain()
        assert server.requests == 1


async def test_no_length_close_ends_with_the_connection() -> None:
    async with FaultyServer(Fault.NO_LENGTH_CLOSE) as server:
        received = await ask(server.port, POST)
        assert received.body == GOOD_BODY
        assert received.fields(b"content-length") == received.fields(b"transfer-encoding") == []


async def test_http10_says_so() -> None:
    async with FaultyServer(Fault.HTTP10) as server:
        received = await ask(server.port, POST)
        assert received.data.startswith(b"HTTP/1.0 200 OK\r\n")
        assert received.body == GOOD_BODY


async def test_stale_connection_closes_on_its_second_request() -> None:
    async with FaultyServer(Fault.STALE) as server, RawClient(server.port) as client:
        client.send(POST)
        assert (await client.read_until(GOOD_BODY)).status == 200
        client.send(POST)
        assert (await client.read_to_end()).data == b""
        assert (server.connections, server.requests) == (1, 2)


async def test_fault_can_be_repaired_while_the_server_runs() -> None:
    async with FaultyServer(Fault.ERROR_500) as server:
        assert (await ask(server.port, POST)).status == 500
        server.fault = Fault.NONE
        assert (await ask(server.port, POST)).status == 200


async def test_connection_does_not_outlive_its_life() -> None:
    async with FaultyServer(Fault.HANG, lifetime_s=0.05) as server:
        assert (await ask(server.port, POST)).data == b""
        await until(lambda: server.open_connections == 0)


async def test_leaving_closes_every_connection_and_the_port() -> None:
    async with FaultyServer(Fault.HANG) as server:
        clients = [RawClient(server.port) for _ in range(3)]
        for client in clients:
            await client.__aenter__()
            client.send(POST)
        await until(lambda: server.requests == 3)
    for client in clients:
        assert (await client.read_to_end()).data == b""
        await client.__aexit__(None, None, None)
    assert server.open_connections == 0
    with pytest.raises(ConnectionRefusedError):
        await ask(server.port, POST)


@pytest.mark.parametrize("junk", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"])
async def test_what_is_no_request_only_ends_its_connection(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with FaultyServer(Fault.NONE) as server:
        async with RawClient(server.port) as client:
            client.send(junk)
            client.writer.write_eof()
            assert (await client.read_to_end()).data == b""
        assert (await ask(server.port, POST)).status == 200
    assert not caplog.records


def test_every_fault_is_tested_and_explained() -> None:
    """A fault without a test here would be a promise without proof."""
    tests = "\n".join(name for name in globals() if name.startswith("test_"))
    assert [fault for fault in Fault if fault.value not in tests] == []


def test_unknown_fault_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'explode' is not a valid Fault"):
        FaultyServer("explode")
