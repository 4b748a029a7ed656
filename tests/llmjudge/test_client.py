"""The judge's endpoint: addresses, TLS, sockets, and what is made of a connection that fails."""

from __future__ import annotations

import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from shadowproxy.config import Tls
from shadowproxy.exchange import Outcome, Reply
from shadowproxy.llmjudge.client import JudgeClient, url_of
from shadowproxy.llmjudge.preference import Opinion, Pick
from shadowproxy.llmjudge.reading import read_reply
from shadowproxy.upstream.endpoint import endpoint_of
from tests.faults.certificates import certificate
from tests.llmjudge.endpoint import DEADLINE_S

SAID = b'{"choices": [{"message": {"content": "{\\"verdict\\": \\"B\\"}"}, "finish_reason": "stop"}]}'


@contextlib.asynccontextmanager
async def serving(*, tls: ssl.SSLContext | None = None, path: Path | None = None) -> AsyncIterator[int]:
    """An endpoint that compresses whatever it is asked not to; gives its port."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=gzip.compress(SAID), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.UnixSite(runner, str(path)) if path else web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield 0 if path else runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def asked(url: str, tls: Tls | None = None) -> Reply | Outcome:
    async with JudgeClient(endpoint_of(url, tls or Tls()), None, connections=1) as client:
        return await client.post(b"{}", DEADLINE_S)


@pytest.mark.parametrize(
    ("url", "asked_at"),
    [
        ("http://judge:8000", "http://judge:8000/v1/chat/completions"),
        ("https://api.example.com/v1", "https://api.example.com:443/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com:443/v1/chat/completions"),
        ("http://judge/openai/deployments/x/chat/completions", "http://judge:80/openai/deployments/x/chat/completions"),
        ("http://judge/team-a", "http://judge:80/team-a/v1/chat/completions"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
        ("unix:/run/judge.sock", "http://localhost/v1/chat/completions"),
    ],
)
def test_every_way_to_write_a_base_url_leads_to_chat_completions(url: str, asked_at: str) -> None:
    assert url_of(endpoint_of(url, Tls())) == asked_at
    assert repr(JudgeClient(endpoint_of(url, Tls()), (b"authorization", b"secret"), connections=1)) == f"<JudgeClient {asked_at}>"


async def test_tls_is_verified_against_the_given_ca(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "judge")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with serving(tls=context) as port:
        reply = await asked(f"https://127.0.0.1:{port}", Tls(ca_file=cert, server_name="localhost"))
        assert isinstance(reply, Reply)
        assert read_reply(reply).opinion == Opinion(Pick.B)
        assert await asked(f"https://127.0.0.1:{port}") is Outcome.CONNECT_FAILED
        assert await asked(f"https://127.0.0.1:{port}", Tls(ca_file=cert, server_name="elsewhere")) is Outcome.CONNECT_FAILED


async def test_unix_socket_is_asked_and_a_compressed_reply_is_read(tmp_path: Path) -> None:
    async with serving(path=tmp_path / "judge.sock"):
        reply = await asked(f"unix:{tmp_path}/judge.sock")
        assert isinstance(reply, Reply)
        assert read_reply(reply).opinion == Opinion(Pick.B)
    assert await asked(f"unix:{tmp_path}/judge.sock") is Outcome.CONNECT_FAILED
