"""TLS towards clients and towards the primary, with certificates made on the spot by openssl."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from shadowproxy.config import ServerTls
from shadowproxy.errors import StartError
from shadowproxy.gateway.tls import Certificate
from tests.faults.certificates import certificate as expired_certificate
from tests.gateway.wires import Client, Upstream, bench, post, until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


def certificate(folder: Path, name: str, signer: str | None = None) -> tuple[Path, Path]:
    """A key and a certificate for localhost; self-signed, or signed by an earlier one."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if signer:
        command += ["-CA", str(folder / f"{signer}.pem"), "-CAkey", str(folder / f"{signer}.key")]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def server_section(folder: Path, name: str = "server", **more: Path) -> dict[str, str]:
    cert, key = certificate(folder, name)
    return {"cert_file": str(cert), "key_file": str(key), **{key: str(path) for key, path in more.items()}}


async def connect(port: int, trust: Path, own: tuple[Path, Path] | None = None) -> Client:
    context = ssl.create_default_context(cafile=str(trust))
    if own:
        context.load_cert_chain(*own)
    return Client(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"))


async def test_clients_speak_tls(tmp_path: Path) -> None:
    async with Upstream() as upstream, bench(upstream.url, tls=server_section(tmp_path)) as b:
        client = await connect(b.port, tmp_path / "server.pem")
        for _ in range(3):
            assert (await client.ask(post(b"x" * 100_000))).endswith(b"ok")
        client.writer.close()
        await until(lambda: not b.gateway._clients)


async def test_tls_client_that_leaves_cancels_the_primary_call(tmp_path: Path) -> None:
    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up.requests.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()

    async with Upstream(play=play) as upstream, bench(upstream.url, tls=server_section(tmp_path)) as b:
        client = await connect(b.port, tmp_path / "server.pem")
        client.send(post(b""))
        await until(lambda: upstream.requests)
        client.writer.close()
        async with asyncio.timeout(30):
            await upstream.lost.wait()


async def test_client_certificate_is_demanded(tmp_path: Path) -> None:
    certificate(tmp_path, "ca")
    own = certificate(tmp_path, "client", signer="ca")
    section = server_section(tmp_path, client_ca_file=tmp_path / "ca.pem")
    async with Upstream() as upstream, bench(upstream.url, tls=section) as b:
        client = await connect(b.port, tmp_path / "server.pem", own)
        assert (await client.ask(post(b"x"))).endswith(b"ok")
        client.writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 refuses after the client's side of the handshake is done
            stranger = await connect(b.port, tmp_path / "server.pem")
            stranger.send(post(b"x"))
            assert await stranger.reply() == b""
        assert len(upstream.requests) == 1


async def test_renewed_certificate_is_served_without_a_restart_and_open_connections_live_on(tmp_path: Path) -> None:
    async with Upstream() as upstream, bench(upstream.url, tls=server_section(tmp_path)) as b:
        old_pem = tmp_path / "old.pem"
        shutil.copy(tmp_path / "server.pem", old_pem)
        early = await connect(b.port, old_pem)
        certificate(tmp_path, "server")

        async def is_served() -> bool:
            try:
                (await connect(b.port, tmp_path / "server.pem")).writer.close()
            except ssl.SSLError:
                return False
            return True

        async with asyncio.timeout(30):
            while not await is_served():
                await asyncio.sleep(0.05)
        assert (await early.ask(post(b"x"))).endswith(b"ok")
        early.writer.close()


def test_broken_renewal_keeps_the_old_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    section = server_section(tmp_path)
    served = Certificate(ServerTls.model_validate(section))
    Path(section["key_file"]).write_text("half written")
    served.look()
    assert "the old one stays" in caplog.text
    served.look()
    assert caplog.text.count("the old one stays") == 1, "told once a change"


def test_expired_renewal_keeps_the_old_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    section = server_section(tmp_path)
    served = Certificate(ServerTls.model_validate(section))
    for path, file in zip(expired_certificate(tmp_path, "expired", is_expired=True), ("cert_file", "key_file"), strict=True):
        shutil.copy(path, section[file])
    served.look()
    assert "the old one stays: tls: certificate has expired" in caplog.text


def test_missing_certificate_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot load tls\.cert_file"):
        Certificate(ServerTls(cert_file=tmp_path / "none.pem", key_file=tmp_path / "none.key"))


async def tls_upstream(folder: Path) -> asyncio.Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, "upstream"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


async def test_primary_over_tls_is_verified_against_the_given_ca(tmp_path: Path) -> None:
    server = await tls_upstream(tmp_path)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with bench(url, primary={"tls": {"ca_file": str(tmp_path / "upstream.pem"), "server_name": "localhost"}}) as b:
            assert (await (await b.client()).ask(post(b""))).endswith(b"ok")
        async with bench(url) as b:
            answer = await (await b.client()).ask(post(b""))
            assert answer.startswith(b"HTTP/1.1 502")
            assert b"tls" in answer
    finally:
        server.close()
