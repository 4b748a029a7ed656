"""What the gateway hands over, and what it keeps to itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shadowproxy.config import build
from shadowproxy.gateway.heads import RequestHead
from shadowproxy.gateway.tee import Mirroring, sample_point
from tests.gateway.wires import Upstream, bench, post, until

SECRET = b"secret-of-the-client"


async def test_credentials_never_cross_the_hand_over() -> None:
    reply = b"HTTP/1.1 200 OK\r\nset-cookie: s=%b\r\ncontent-length: 2\r\n\r\nok" % SECRET
    names = (b"Authorization", b"COOKIE", b"api-key", b"x-api-key", b"x-goog-api-key", b"proxy-authorization", b"X-Forwarded-Client-Cert")
    async with Upstream(reply) as upstream, bench(upstream.url) as b:
        client = await b.client()
        path = b"/v1/chat/completions?key=%b&a=1&API_KEY=%b" % (SECRET, SECRET)
        await client.ask(post(b"{}", *(name + b": " + SECRET for name in names), path=path))
        assert upstream.requests[0].count(SECRET) == len(names) + 2, "the primary gets them all"
        frame = b.handover.frames[0]
        assert SECRET.decode() not in repr(frame)
        assert frame.target == "/v1/chat/completions?a=1"


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n", "method"),
        (post(b"x", path=b"/v1/files"), "not_inference"),
        (post(b"x", b"x-shadowproxy-arm: v2"), "already_mirrored"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: llm-shadow\r\ncontent-length: 0\r\n\r\n", "already_mirrored"),
        (post(b"x", b"x-envoy-attempt-count: 2"), "retry_attempt"),
        (post(b"x" * 3000), "request_too_large"),
    ],
)
async def test_refusal_is_counted_and_the_request_forwarded(request_bytes: bytes, reason: str) -> None:
    async with Upstream() as upstream, bench(upstream.url, mirror={"max_request_bytes": 2000}) as b:
        client = await b.client()
        assert (await client.ask(request_bytes)).endswith(b"ok")
        assert b.gateway._not_mirrored == {reason: 1}
        assert b.handover.frames == []


async def test_marker_header_of_another_mirror_is_configurable() -> None:
    async with Upstream() as upstream, bench(upstream.url, mirror={"marker_header": "X-Mirrored-By"}) as b:
        client = await b.client()
        await client.ask(post(b"{}", b"x-mirrored-by: mesh"))
        await client.ask(post(b"{}"))
        assert b.gateway._not_mirrored == {"already_mirrored": 1}
        assert len(b.handover.frames) == 1


async def test_what_is_not_compared_is_handed_over_without_its_reply() -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nYES!"
    async with Upstream(reply) as upstream, bench(upstream.url, compare={"percent": 0}) as b:
        client = await b.client()
        assert (await client.ask(post(b"{}"))).endswith(b"YES!")
        (frame,) = b.handover.frames
        assert not frame.is_compared
        assert frame.body == b"{}"
        assert frame.reads == []


async def test_share_to_compare_is_drawn_apart_from_the_share_to_mirror() -> None:
    async with Upstream() as upstream, bench(upstream.url, mirror={"percent": 50}, compare={"percent": 50}) as b:
        client = await b.client()
        for number in range(200):
            await client.ask(post(b"{}", b"x-request-id: %d" % number))
        compared = sum(frame.is_compared for frame in b.handover.frames)
        assert 70 < len(b.handover.frames) < 130
        assert 0.3 < compared / len(b.handover.frames) < 0.7


async def test_nothing_is_made_for_a_hand_over_that_is_full() -> None:
    async with Upstream() as upstream, bench(upstream.url) as b:
        b.handover.refusal = "handover_full"
        client = await b.client()
        await client.ask(post(b"{}"))
        assert b.handover.frames == []
        assert b.gateway._not_mirrored == {"handover_full": 1}


async def test_configured_route_is_mirrored_whatever_its_path() -> None:
    routes = [{"name": "own", "path": "/internal/*"}]
    async with Upstream() as upstream, bench(upstream.url, routes=routes) as b:
        client = await b.client()
        await client.ask(post(b"{}", path=b"/internal/ask"))
        await client.ask(post(b"{}", path=b"/v1/chat/completions"))
        assert [frame.route for frame in b.handover.frames] == ["own"]
        assert b.gateway._not_mirrored == {"not_inference": 1}


async def test_reply_over_the_bound_is_passed_on_and_not_kept() -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"y" * 100_000
    async with Upstream(reply) as upstream, bench(upstream.url, mirror={"max_reply_bytes": 50_000}) as b:
        client = await b.client()
        assert await client.ask(post(b"{}")) == reply
        assert b.gateway._not_mirrored == {"reply_too_large": 1}


async def test_kill_switch_file_works_on_open_connections(tmp_path: Path) -> None:
    switch = tmp_path / "off"
    async with Upstream() as upstream, bench(upstream.url, mirror={"kill_switch_file": str(switch)}) as b:
        client = await b.client()
        await client.ask(post(b"{}"))
        switch.touch()
        await until(lambda: not b.gateway._mirroring.is_on)
        await client.ask(post(b"{}"))
        switch.unlink()
        await until(lambda: b.gateway._mirroring.is_on)
        await client.ask(post(b"{}"))
        assert len(b.handover.frames) == 2
        assert b.gateway._not_mirrored == {"kill_switch": 1}


def decision(percent: float, *headers: tuple[bytes, bytes], sample_by: str = "request_id") -> str:
    config = build(
        {
            "primary": {"url": "http://127.0.0.1:1"},
            "candidates": [{"name": "v2", "url": "http://127.0.0.1:2"}],
            "mirror": {"percent": percent, "sample_by": sample_by},
        }
    )
    head = RequestHead(b"POST", b"/v1/chat/completions", [(b"Host", b"t"), *headers], "1.1", True)
    return Mirroring(config, True).refusal(head, "chat")[0]


def test_sampling_is_stable_and_close_to_its_share() -> None:
    chosen = [decision(25, (b"x-request-id", b"id-%d" % number)) == "" for number in range(2000)]
    assert chosen == [sample_point(b"id-%d" % number) < 0.25 for number in range(2000)]
    assert abs(sum(chosen) / 2000 - 0.25) < 0.04


def test_whole_sessions_are_in_or_out_together() -> None:
    for session in range(50):
        header = (b"X-Session", b"s%d" % session)
        assert len({decision(50, header, (b"x-request-id", b"r%d" % n), sample_by="header:x-session") for n in range(10)}) == 1


def test_trace_nibble_that_envoy_rewrites_does_not_change_the_sample() -> None:
    for number in range(100):
        ids = [b"%08x-0000-%b000-8000-000000000000" % (number, nibble) for nibble in (b"4", b"9", b"a", b"b")]
        assert len({decision(50, (b"x-request-id", one)) for one in ids}) == 1


async def test_upstream_that_closes_after_each_reply_costs_no_client_anything() -> None:
    """llama.cpp's server announces keep-alive and closes after every streamed reply; a POST may not be repeated, so it must not be lost."""

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up.requests.append(await reader.readuntil(b"{}"))
        writer.write(b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok")

    async with Upstream(play=play) as upstream, bench(upstream.url) as b:

        async def one() -> None:
            client = await b.client()
            for _ in range(40):
                assert (await client.ask(post(b"{}"))).endswith(b"ok")

        await asyncio.gather(*(one() for _ in range(4)))
        assert len(upstream.requests) == 160
        assert b.gateway._failures == {}
