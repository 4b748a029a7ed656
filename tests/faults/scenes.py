"""The running services that faults are played on. Each starts once, those that are needed start together, and all end together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from tests.faults.certificates import certificate
from tests.faults.clock import preloaded
from tests.faults.echoing import echoing
from tests.faults.logs import FullLog, PipedLog
from tests.faults.scene import Scene
from tests.faults.upstreams import Upstream
from tests.serve.serving import Serving
from tests.serve.wire import ECHO_ROUTE

ROUTES = [ECHO_ROUTE, {"name": "chat", "path": "/v1/chat/completions"}]
#: What the counts of every scene need: no vectors, and a look at the verdict twice a second.
BASE: Mapping[str, Any] = {"embed": {"backend": "none"}, "routes": ROUTES, "verdict": {"interval_s": 0.5}}
TIMEOUT_S = 1.0
CLIENT_IDLE_S = 1.5
MAX_CONNECTIONS = 40
MAX_BODY_BYTES = 32 * 1024 * 1024

Made = AbstractAsyncContextManager[Scene]


def missing(needs: Iterable[str]) -> list[str]:
    """What this machine does not have: programs, or the rights of root."""
    return [part for part in needs if (os.geteuid() != 0 if part == "root" else shutil.which(part) is None)]


@contextlib.asynccontextmanager
async def running(serve: Serving) -> AsyncIterator[Serving]:
    """Serve for the time of the block; then it ends with 0 and leaves no process and no file."""
    try:
        await serve.start()
        yield serve
        assert await serve.stop() == 0, serve.log
        assert serve.everyone() == []
        assert serve.temp_files() == [], [str(path) for path in serve.temp.rglob("*")]
    finally:
        await serve.clean_up()


@contextlib.asynccontextmanager
async def candidates() -> AsyncIterator[Scene]:
    """Candidates and a control that fail in every way, each bounded to a second."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(Upstream())
        v2 = await stack.enter_async_context(Upstream())
        refusing = stack.enter_context(socket.socket())
        refusing.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take the port
        arms = {
            "v2": v2.url,
            "refusing": f"http://127.0.0.1:{refusing.getsockname()[1]}",
            "nameless": "http://candidate.invalid:80",  # RFC 6761: never resolves
            "untrusted": await stack.enter_async_context(untrusted()),
        }
        tree = {
            **BASE,
            "primary": {"url": primary.url},
            "control": {"timeout_s": TIMEOUT_S},
            "candidates": [
                {"name": name, "url": url, "timeout_s": TIMEOUT_S, "concurrency": 8, "queue": 8, "max_reply_bytes": 1024 * 1024}
                for name, url in arms.items()
            ],
        }
        serve = await stack.enter_async_context(running(Serving(tree, {})))
        yield Scene(serve, primary, v2)


@contextlib.asynccontextmanager
async def edges() -> AsyncIterator[Scene]:
    """A primary and clients that do wrong, with limits of seconds, and a kill switch. One candidate, which is well."""
    async with AsyncExitStack() as stack:
        primary, v2 = [await stack.enter_async_context(Upstream()) for _ in range(2)]
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        tree = {
            **BASE,
            "primary": {
                "url": primary.url,
                "connect_timeout_s": TIMEOUT_S,
                "first_byte_timeout_s": TIMEOUT_S,
                "idle_timeout_s": TIMEOUT_S,
            },
            "candidates": [{"name": "v2", "url": v2.url}],
            "mirror": {"max_reply_bytes": 1024 * 1024, "kill_switch_file": f"{folder}/off"},
            "limits": {
                "client_idle_timeout_s": CLIENT_IDLE_S,
                "max_connections": MAX_CONNECTIONS,
                "max_body_bytes": MAX_BODY_BYTES,
            },
        }
        serve = await stack.enter_async_context(running(Serving(tree, {})))
        yield Scene(serve, primary, v2)


@contextlib.asynccontextmanager
async def processes() -> AsyncIterator[Scene]:
    """Two workers, and a small hand-over. The primary is a process of its own."""
    async with Upstream() as nobody, Upstream() as v2, echoing() as (primary, url):
        tree = {
            **BASE,
            "workers": 2,
            "primary": {"url": url, "first_byte_timeout_s": TIMEOUT_S},
            "candidates": [{"name": "v2", "url": v2.url}],
            "handover": {"buffer_bytes": 65536},
        }
        async with running(Serving(tree, {})) as serve:
            scene = Scene(serve, nobody, v2, primary_url=url)
            scene.primary_pid = primary.pid
            yield scene


def simple(primary: Upstream, v2: Upstream) -> dict[str, Any]:
    """One candidate, and nothing unusual."""
    return {**BASE, "primary": {"url": primary.url}, "candidates": [{"name": "v2", "url": v2.url}]}


@contextlib.asynccontextmanager
async def inside() -> AsyncIterator[Scene]:
    """With something planted in its processes (see ``site`` and ``clock``), and a log that is a pipe."""
    async with Upstream() as primary, Upstream() as v2:
        serve = PipedLog(simple(primary, v2), {})
        serve._env["PYTHONPATH"] = str(Path(__file__).with_name("site"))
        serve._env["SHADOWPROXY_TROUBLE"] = str(serve.folder / "trouble")
        if not missing(("gcc",)):
            serve._env.update(preloaded(serve.folder))
        async with running(serve):
            yield Scene(serve, primary, v2)


@contextlib.asynccontextmanager
async def full_disks() -> AsyncIterator[Scene]:
    """With a log that takes no line and, for root, a small disk for the temporary folder."""
    async with Upstream() as primary, Upstream() as v2:
        serve = FullLog(simple(primary, v2), {})
        with disk(serve) if not missing(("root", "mount")) else contextlib.nullcontext():
            async with running(serve):
                yield Scene(serve, primary, v2)


@contextlib.contextmanager
def disk(serve: Serving) -> Iterator[None]:
    """A disk of a few files for the temporary folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=32", "shadowproxy-test", str(serve.temp)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(serve.temp)], check=True)
        shutil.rmtree(serve.folder)


@contextlib.asynccontextmanager
async def tls() -> AsyncIterator[Scene]:
    """Speaks TLS to its clients."""
    async with Upstream() as primary, Upstream() as v2:
        with tempfile.TemporaryDirectory() as folder:
            cert, key = certificate(Path(folder), "served")
            tree = {**simple(primary, v2), "tls": {"cert_file": str(cert), "key_file": str(key)}}
            async with running(Serving(tree, {})) as serve:
                yield Scene(serve, primary, v2, trusts=ssl.create_default_context(cafile=str(cert)))


@contextlib.asynccontextmanager
async def untrusted() -> AsyncIterator[str]:
    """The URL of a server whose certificate signed itself; nobody's, where openssl is not here to make one."""
    if missing(("openssl",)):
        yield "https://127.0.0.1:9"
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*certificate(Path(folder), "untrusted"))

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


SCENES: Mapping[str, Callable[[], Made]] = {
    "candidates": candidates,
    "edges": edges,
    "processes": processes,
    "inside": inside,
    "full-disks": full_disks,
    "tls": tls,
}


class Stage:
    """All scenes of a test run: started on first demand, kept, and ended together."""

    def __init__(self) -> None:
        self._makers: dict[str, asyncio.Task[Scene]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()

    def begin(self, names: Iterable[str]) -> None:
        """Start these, without waiting."""
        for name in names:
            if name not in self._makers:
                started: asyncio.Future[Scene] = asyncio.get_running_loop().create_future()
                self._makers[name] = asyncio.create_task(_result_of(started))
                self._keepers.append(asyncio.create_task(self._keep(SCENES[name], started)))

    async def scene(self, name: str) -> Scene:
        self.begin([name])
        return await asyncio.shield(self._makers[name])

    async def _keep(self, make: Callable[[], Made], started: asyncio.Future[Scene]) -> None:
        """A scene is entered and left in one task, as its time-outs want it."""
        try:
            async with make() as scene:
                scene.resting_processes = len(scene.serve.everyone())
                started.set_result(scene)
                await self._is_over.wait()
        except BaseException as exc:
            if started.done():
                raise
            started.set_exception(exc)

    async def end(self) -> None:
        """End all; the first one that did not end cleanly is raised."""
        self._is_over.set()
        await asyncio.gather(*self._makers.values(), return_exceptions=True)
        ended = await asyncio.gather(*self._keepers, return_exceptions=True)
        for each in ended:
            if isinstance(each, BaseException):
                raise each


async def _result_of(future: asyncio.Future[Scene]) -> Scene:
    return await future
