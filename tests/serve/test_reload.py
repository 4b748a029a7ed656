"""A changed configuration comes into force without a restart and without a closed connection; a bad one changes nothing."""

from __future__ import annotations

import asyncio
import signal

import yaml

from tests.gateway.wires import Client, Upstream, closed_port, post
from tests.serve.serving import Scrape, Serving, serving
from tests.test_shadow import chat_reply


def tree(primary: str, candidate: str, **more: object) -> dict[str, object]:
    return {"primary": {"url": primary}, "candidates": [{"name": "v2", "url": candidate}], "embed": {"backend": "none"}, **more}


def rewrite(serve: Serving, **changes: object) -> None:
    """Change the file, and tell the process as an operator would."""
    path = serve._config
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    assert serve.process is not None
    serve.process.send_signal(signal.SIGHUP)


def reloads(result: str) -> object:
    return lambda scrape: scrape.value("shadowproxy_reloads_total", result=result) == 1


async def test_new_primary_and_candidate_come_into_force_on_open_connections() -> None:
    async with Upstream(chat_reply("old")) as old, Upstream(chat_reply("new")) as new, serving(tree(old.url, old.url)) as serve:
        client = Client(*await asyncio.open_connection("127.0.0.1", serve.port))
        assert b"old" in await client.ask(post(b"{}"))
        await serve.wait_for("shadowproxy_pairs_resolved_total", 1)
        rewrite(serve, primary={"url": new.url}, candidates=[{"name": "v3", "url": new.url}])
        await serve.wait_until(reloads("done"))  # type: ignore[arg-type]
        for _ in range(20):
            assert b"new" in await client.ask(post(b"{}"))
        scrape = await serve.wait_for("shadowproxy_pairs_resolved_total", 21)
        assert {key.partition("-")[0] for key in scrape.by("rollout", "shadowproxy_pairs_issued_total")} == {"v2", "v3"}
        assert len(old.requests) == 2
        assert [document["candidate"] for document in [await serve.verdict()]] == ["v3"]
        assert len(serve.pids("shadow")) == 1
        client.writer.close()


async def test_nothing_is_lost_and_evidence_is_kept_when_only_the_mirror_changes() -> None:
    async with Upstream(chat_reply("x")) as up, serving(tree(up.url, up.url)) as serve:
        stop = asyncio.Event()

        async def ask_on() -> int:
            client, asked = Client(*await asyncio.open_connection("127.0.0.1", serve.port)), 0
            while not stop.is_set():
                assert (await client.ask(post(b"{}"))).startswith(b"HTTP/1.1 200")
                asked += 1
                await asyncio.sleep(0.02)  # what the copies keep up with on a busy machine: else their queues overflow, reload or not
            client.writer.close()
            return asked

        askers = [asyncio.create_task(ask_on()) for _ in range(4)]
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_pairs_resolved_total") > 50)
        rewrite(serve, limits={"drain_s": 5})
        await serve.wait_until(reloads("done"))  # type: ignore[arg-type]
        await asyncio.sleep(0.3)
        stop.set()
        asked = sum(await asyncio.gather(*askers))

        def is_all_there(scrape: Scrape) -> bool:
            return scrape.value("shadowproxy_pairs_resolved_total", outcome="ok") == asked

        scrape = await serve.wait_until(is_all_there)
        assert scrape.value("shadowproxy_not_mirrored_total") == 0
        async with asyncio.timeout(30):
            while (await serve.verdict())["pairs"] != asked:  # looked at once a second
                await asyncio.sleep(0.05)


async def test_open_stream_ends_as_it_began() -> None:
    go_on = asyncio.Event()

    async def play(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go_on.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        await writer.drain()

    async with Upstream(play=play) as old, Upstream() as new, serving(tree(old.url, new.url)) as serve:
        client = Client(*await asyncio.open_connection("127.0.0.1", serve.port))
        client.send(post(b"{}"))
        async with asyncio.timeout(30):
            await client.reader.readuntil(b"first\r\n")
        rewrite(serve, primary={"url": new.url})
        await serve.wait_until(reloads("done"))  # type: ignore[arg-type]
        go_on.set()
        async with asyncio.timeout(30):
            await client.reader.readuntil(b"last\r\n0\r\n\r\n")
        assert (await client.ask(post(b"{}"))).endswith(b"ok")
        client.writer.close()


async def test_bad_reload_keeps_the_old_configuration_and_says_why() -> None:
    async with Upstream(chat_reply("x")) as up, serving(tree(up.url, up.url)) as serve:
        before = serve.pids("shadow")
        rewrite(serve, mirror={"percent": 150})
        await serve.wait_until(reloads("refused"))  # type: ignore[arg-type]
        assert "mirror.percent: 150 is not within 0..100" in serve.log
        rewrite(serve, mirror={}, listen=f"127.0.0.1:{closed_port()}")
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_reloads_total", result="refused") == 2)
        assert "listen cannot change while running" in serve.log
        rewrite(serve, listen="127.0.0.1:0", embed={"backend": "onnx", "model": "/nowhere"})
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_reloads_total", result="refused") == 3)
        assert serve.pids("shadow") == before
        client = Client(*await asyncio.open_connection("127.0.0.1", serve.port))
        assert (await client.ask(post(b"{}"))).startswith(b"HTTP/1.1 200")
        await serve.wait_for("shadowproxy_pairs_resolved_total", 1)
        client.writer.close()


async def test_kill_switch_by_admin_call() -> None:
    async with Upstream(chat_reply("x")) as up, serving(tree(up.url, up.url)) as serve:
        client = Client(*await asyncio.open_connection("127.0.0.1", serve.port))
        for is_on in (False, True):
            assert serve._session is not None
            async with serve._session.post(f"http://{serve.admin}/mirroring?on={str(is_on).lower()}") as reply:
                assert reply.status == 200
            async with asyncio.timeout(30):
                for _ in range(10):
                    await client.ask(post(b"{}"))
        scrape = await serve.settled()
        assert scrape.value("shadowproxy_not_mirrored_total", reason="kill_switch") >= 9
        assert scrape.value("shadowproxy_pairs_resolved_total") >= 9
        client.writer.close()
