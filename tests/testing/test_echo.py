from __future__ import annotations

import hashlib

import orjson
import pytest

from shadowproxy.testing.echo import EchoServer, Framing
from tests.testing.wire_client import RawClient, Received, ask, request


async def once(*fields: str, method: str = "POST", body: bytes = b"hello", server: EchoServer) -> Received:
    return await ask(server.port, request(method, "Connection: close", *fields, body=body))


async def test_reply_tells_what_was_received() -> None:
    async with EchoServer() as server:
        received = await once("X-Trace: a", "x-trace: b", server=server)
    seen = orjson.loads(received.body)
    assert seen["method"] == "POST"
    assert seen["target"] == "/v1/x?y=1"
    assert seen["headers"] == [["X-Trace", "a"], ["x-trace", "b"]]
    assert seen["body_sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert seen["body_bytes"] == 5


async def test_equal_requests_get_equal_bytes_in_every_framing() -> None:
    async with EchoServer() as server:
        for framing in Framing:
            method = "HEAD" if framing is Framing.HEAD else "POST"
            first, second = [await once(f"x-echo: {framing}", method=method, server=server) for _ in range(2)]
            assert first.data == second.data != b""


async def test_length_announces_exactly_its_body() -> None:
    async with EchoServer() as server:
        received = await once("x-echo: length", "x-echo-bytes: 100000", server=server)
    assert received.fields(b"content-length") == [b"100000"]
    assert len(received.body) == 100_000


async def test_chunked_carries_the_same_body_as_length_in_many_chunks() -> None:
    async with EchoServer() as server:
        plain = await once("x-echo-bytes: 5000", server=server)
        chunked = await once("x-echo: chunked", "x-echo-bytes: 5000", server=server)
    assert chunked.fields(b"transfer-encoding") == [b"chunked"]
    assert chunked.body.count(b"\r\n") > 60
    assert chunked.dechunked() == plain.body
    assert len(plain.body) == 5000


async def test_sse_sends_as_many_events_as_asked() -> None:
    async with EchoServer() as server:
        received = await once("x-echo: sse", "x-echo-events: 5", "x-echo-interval-ms: 1", server=server)
    *events, done, rest = received.dechunked().split(b"\n\n")
    assert [orjson.loads(event.removeprefix(b"data: "))["event"] for event in events] == [0, 1, 2, 3, 4]
    assert (done, rest) == (b"data: [DONE]", b"")


async def test_close_ends_with_the_connection_although_the_client_would_keep_it() -> None:
    async with EchoServer() as server:
        received = await ask(server.port, request("POST", "x-echo: close", body=b"hello"))
    assert received.fields(b"content-length") == received.fields(b"transfer-encoding") == []
    assert orjson.loads(received.body)["body_bytes"] == 5


@pytest.mark.parametrize(("framing", "status"), [("204", 204), ("304", 304)])
async def test_reply_without_body_leaves_the_connection_usable(framing: str, status: int) -> None:
    async with EchoServer() as server, RawClient(server.port) as client:
        client.send(request("GET", f"x-echo: {framing}"))
        assert (await client.read_until(b"\r\n\r\n")).status == status
        client.send(request("GET", "Connection: close"))
        following = await client.read_to_end()
        assert following.data.startswith(b"HTTP/1.1 200 ")
        assert (server.connections, server.requests) == (1, 2)


async def test_304_has_the_length_of_the_body_it_does_not_send() -> None:
    async with EchoServer() as server:
        received = await once("x-echo: 304", server=server)
    assert int(received.fields(b"content-length")[0]) > 0
    assert received.body == b""


async def test_head_has_length_and_no_body() -> None:
    async with EchoServer() as server:
        received = await once("x-echo: head", method="HEAD", body=b"", server=server)
    assert received.status == 200
    assert int(received.fields(b"content-length")[0]) > 0
    assert received.body == b""


async def test_odd_header_lines_are_sent_as_written() -> None:
    async with EchoServer() as server:
        received = await once(server=server)
    assert received.fields(b"set-cookie") == [b"first=1", b"second=2"]
    assert b"\r\nX-Odd-Case:   kept\r\nx-empty:\r\n" in received.data


async def test_status_is_chosen_by_the_request() -> None:
    async with EchoServer() as server:
        assert (await once("x-echo-status: 503", server=server)).data.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


@pytest.mark.parametrize(
    "field", ["x-echo: nonsense", "x-echo: head", "x-echo-bytes: many", "x-echo-bytes: 99999999999", "x-echo-status: 999"]
)
async def test_wrong_wish_gets_400(field: str) -> None:
    async with EchoServer() as server:
        assert (await once(field, server=server)).status == 400


async def test_chunked_request_is_read_like_one_with_length() -> None:
    chunks = b"3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with EchoServer() as server:
        plain = await once(server=server)
        chunked = await ask(server.port, request("POST", "Connection: close", "Transfer-Encoding: chunked") + chunks)
        assert chunked.body == plain.body
        assert server.received[1].header("transfer-encoding") == "chunked"


async def test_client_that_expects_100_gets_it_before_it_sends() -> None:
    async with EchoServer() as server, RawClient(server.port) as client:
        client.send(request("POST", "Connection: close", "Expect: 100-continue", "Content-Length: 5"))
        assert (await client.read_until(b"\r\n\r\n")).data == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert orjson.loads((await client.read_to_end()).body)["body_bytes"] == 5


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with EchoServer() as server, RawClient(server.port) as client:
        client.send(request(target="/one") + request("GET", "Connection: close", target="/two"))
        received = await client.read_to_end()
    assert received.data.index(b'"target":"/one"') < received.data.index(b'"target":"/two"')


async def test_http10_client_gets_its_connection_closed() -> None:
    async with EchoServer() as server:
        assert orjson.loads((await ask(server.port, request(version="1.0"))).body)["method"] == "GET"
