"""SIGTERM in the middle of a stream."""

from __future__ import annotations

import asyncio
import signal

import orjson
import pytest

from shadowproxy.testing.echo import EchoServer
from tests.serve.serving import Serving, eventually, serving
from tests.serve.wire import ECHO_ROUTE, Caller, ask, chunks, echo_tree, request

EVENTS = 12
INTERVAL_MS = 200


async def test_open_stream_is_finished_after_sigterm_and_its_copy_still_sent() -> None:
    async with EchoServer(lifetime_s=600) as primary, EchoServer(lifetime_s=600) as candidate:
        tree = echo_tree(primary.url, candidate.url)
        async with serving(tree) as serve, Caller(serve.url) as idle, Caller(serve.url) as streaming:
            assert (await idle.ask(request("POST", b"{}"))).status == 200
            await serve.wait_for("shadowproxy_pairs_resolved_total", 1)
            reader, writer = await streaming.open()
            writer.write(request("POST", b"{}", "x-echo: sse", f"x-echo-events: {EVENTS}", f"x-echo-interval-ms: {INTERVAL_MS}"))
            async with asyncio.timeout(20):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                events = chunks(reader)
                came = [await anext(events)]
                assert serve.process is not None
                serve.process.send_signal(signal.SIGTERM)
                status, body = await serve.get("/readyz")
                while status == 200:
                    status, body = await serve.get("/readyz")
                assert status == 503
                assert "draining" in orjson.loads(body)["reasons"]
                assert (await serve.get("/healthz"))[0] == 200  # not to be restarted, only to be left alone
                with pytest.raises(ConnectionRefusedError):  # and not kept waiting for a worker that will never come
                    await ask(serve.url, request("GET"))
                idle_reader, _ = await idle.open()
                assert await idle_reader.read() == b""  # a connection that waits for nothing is closed at once
                came += [event async for event in events]
            assert len(came) > 3
            text = b"".join(came)
            assert text.count(b'"event":') == EVENTS
            assert text.endswith(b"data: [DONE]\n\n")
            assert await serve.exit_code() == 0
            assert candidate.requests == 2  # what was seen last was handed over and mirrored, too


async def test_stream_that_outlasts_the_drain_is_cut_and_the_exit_still_clean() -> None:
    async with EchoServer(lifetime_s=600) as primary:
        tree = {"primary": {"url": primary.url}, "embed": {"backend": "none"}, "routes": [ECHO_ROUTE], "limits": {"drain_s": 0.3}}
        async with serving(tree) as serve, Caller(serve.url) as caller:
            reader, writer = await caller.open()
            writer.write(request("POST", b"{}", "x-echo: sse", "x-echo-events: 1000", "x-echo-interval-ms: 100"))
            async with asyncio.timeout(20):
                await reader.readuntil(b'"event":0')
                assert await serve.stop() == 0
                try:
                    rest = await reader.read()
                except ConnectionError:
                    rest = b""
            assert b"[DONE]" not in rest
            assert not rest.endswith(b"0\r\n\r\n")  # it must not look complete


async def test_signal_before_readiness_ends_as_quietly() -> None:
    """A pod that is deleted while it starts."""
    serve = Serving({"primary": {"url": "http://127.0.0.1:1"}, "candidates": [{"name": "v2", "url": "http://127.0.0.1:1"}]}, {})
    try:
        await serve.launch()
        await eventually(lambda: serve.pids("shadow"))
        await serve.stop()
        assert serve.everyone() == []
        assert serve.temp_files() == []
        assert "Traceback" not in serve.log
    finally:
        await serve.clean_up()


async def test_ask_is_refused_after_the_end() -> None:
    async with serving({"primary": {"url": "http://127.0.0.1:1"}, "embed": {"backend": "none"}}) as serve:
        assert (await ask(serve.url, request("GET"))).status == 502
        assert await serve.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            await ask(serve.url, request("GET"))
