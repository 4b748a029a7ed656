"""A running ``shadowproxy serve`` with its upstreams: where a fault is played, and what is looked at before and after."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tests.faults.fault import Counted, Logged, Seen
from tests.faults.upstreams import Upstream
from tests.serve.serving import Serving, eventually
from tests.serve.wire import Caller, Reply, ask, read_reply, request

#: What clients ask where nothing else matters.
ASKED = request("POST", b'{"messages":[{"role":"user","content":"Hello"}]}')

HEALTHY_S = 30.0
CUT_S = 30.0
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Metrics:
    """/metrics, read line by line where it is asked for: the client library's parser takes longer than most faults."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def value(self, name: str, **labels: str) -> float:
        """The sum over every series of ``name`` that carries these labels; 0 where there is none."""
        return sum(self.by("", name, **labels).values())

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Sums of ``name`` by the values of one label."""
        found: dict[str, float] = {}
        for line in self._lines:
            if line.startswith((name + "{", name + " ")):
                carried = dict(_LABEL.findall(line))
                if labels.items() <= carried.items():
                    value = carried.get(label, "")
                    found[value] = found.get(value, 0) + float(line.rpartition(" ")[2])
        return found


class Scene:
    """What an injection may touch. ``primary`` and ``candidate`` echo until they are told to misbehave."""

    def __init__(
        self, serve: Serving, primary: Upstream, candidate: Upstream, *, primary_url: str = "", trusts: ssl.SSLContext | None = None
    ) -> None:
        self.serve = serve
        self.primary = primary
        self.candidate = candidate
        self.primary_url = primary_url or primary.url
        self._trusts = trusts
        self.other_log = ""
        """What another process, started by the injection, had to say."""
        self.resting_processes = 0
        self.primary_pid = 0
        """Where the primary is a process of its own."""
        self._log_seen = 0

    @property
    def log(self) -> str:
        return self.serve.log + self.other_log

    # --- clients ----------------------------------------------------------------------------------------------------

    async def ask(self, asked: bytes = ASKED, *, expected: Reply | None = None) -> Seen:
        """One client, and what the primary answers the same request directly."""
        if expected is not None:
            return await self.send(asked, expected)
        expected, seen = await asyncio.gather(ask(self.primary_url, asked), self.send(asked))
        return replace(seen, expected=expected)

    async def send(self, asked: bytes, expected: Reply | None = None) -> Seen:
        """One client on a connection of its own; what it gets, whole or cut."""
        async with asyncio.timeout(CUT_S):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.serve.port, ssl=self._trusts)
            except OSError:
                return Seen(None, expected)
            try:
                writer.write(asked)
                return await received(reader, expected)
            finally:
                writer.close()

    @contextlib.asynccontextmanager
    async def asking(self, clients: int = 3) -> AsyncIterator[list[Seen]]:
        """Clients that ask on and on during the block, each on its own connection; the list fills with what they see."""
        expected = await ask(self.primary_url, ASKED)
        seen: list[Seen] = []
        is_over = asyncio.Event()

        async def ask_on() -> None:
            async with Caller(self.serve.url) as caller:
                while not is_over.is_set():
                    try:
                        seen.append(Seen(await caller.ask(ASKED), expected))
                    except (OSError, asyncio.IncompleteReadError) as exc:
                        seen.append(Seen(None, expected, repr(exc).encode()))
                        return
                    await asyncio.sleep(0.004)

        tasks = [asyncio.create_task(ask_on()) for _ in range(clients)]
        try:
            yield seen
        finally:
            is_over.set()
            await asyncio.gather(*tasks)

    # --- before and after -------------------------------------------------------------------------------------------

    async def proof(self, shows: Counted | Logged, candidate: str) -> float:
        """How often the counter has counted, or the log has said it."""
        if isinstance(shows, Logged):
            return self.log.count(shows.line)
        return self._value(await self.metrics(), shows, candidate)

    def _value(self, scrape: Metrics, shows: Counted, candidate: str) -> float:
        if not candidate:
            return scrape.value(shows.name, **shows.labels)
        by_rollout = scrape.by("rollout", shows.name, **shows.labels)
        return sum(value for rollout, value in by_rollout.items() if rollout.rpartition("-")[0] == candidate)

    def resolved(self, metrics: Metrics, candidate: str, *, arm: str = "candidate", **labels: str) -> float:
        """Copies to a candidate, or to the control beside it, whose end is known."""
        return self._value(metrics, Counted("pairs_resolved_total", arm=arm, **labels), candidate)

    async def settled(self) -> Metrics:
        """Look at /metrics until no copy is on its way: what is counted from here on is of what is asked from here on."""
        return await self.until(lambda now: now.value("shadowproxy_pairs_issued_total") == now.value("shadowproxy_pairs_resolved_total"))

    async def until_moved(self, shows: Counted | Logged, candidate: str, before: float) -> None:
        deadline = time.monotonic() + HEALTHY_S
        while (after := await self.proof(shows, candidate)) <= before:
            assert time.monotonic() < deadline, f"{shows.text} stays at {after}; log:\n{self.log[-3000:]}"
            await asyncio.sleep(0.05)

    async def is_healthy(self) -> None:
        """A client is served as ever, its copy is judged, all processes are there, and nothing is left of what the fault broke."""
        async with asyncio.timeout(HEALTHY_S):
            while (status := (await self.serve.get("/readyz"))[0]) != 200:
                await asyncio.sleep(0.05)
        assert status == 200
        before = await self.metrics()
        expected = await ask(self.primary_url, ASKED)
        deadline = time.monotonic() + HEALTHY_S
        scrape, asked = before, 0
        while not self._has_judged(before, scrape):
            assert time.monotonic() < deadline, f"no pair was judged any more; log:\n{self.log[-3000:]}"
            seen = await self.send(ASKED, expected)
            assert seen.got is not None
            assert seen.got.seen == expected.seen
            asked += 1
            waited_until = time.monotonic() + 0.6  # two reports, and a moment for the copy
            while not self._has_judged(before, scrape) and time.monotonic() < waited_until:
                await asyncio.sleep(0.05)
                scrape = await self.metrics()
        served = before.value("shadowproxy_requests_total") + asked
        await self.until(lambda now: now.value("shadowproxy_requests_total") >= served)
        await eventually(lambda: len(self.serve.everyone()) == self.resting_processes, within_s=HEALTHY_S)

    def _has_judged(self, before: Metrics, now: Metrics) -> bool:
        judged = "shadowproxy_pairs_resolved_total"
        return now.value(judged, outcome="ok", arm="candidate") > before.value(judged, outcome="ok", arm="candidate")

    async def metrics(self) -> Metrics:
        """What /metrics says now."""
        status, body = await self.serve.get("/metrics")
        assert status == 200
        return Metrics(body.decode())

    async def until(self, condition: Callable[[Metrics], object]) -> Metrics:
        """Look at /metrics until ``condition`` holds."""
        deadline = time.monotonic() + HEALTHY_S
        while not condition(metrics := await self.metrics()):
            assert time.monotonic() < deadline, f"never came true; log:\n{self.log[-3000:]}"
            await asyncio.sleep(0.05)
        return metrics

    def new_log(self) -> str:
        """What was logged since the last call."""
        log = self.serve.log
        fresh, self._log_seen = log[self._log_seen :], len(log)
        return fresh

    def config(self) -> dict[str, Any]:
        """What the configuration file says."""
        tree: dict[str, Any] = yaml.safe_load(self.serve._config.read_text())
        return tree

    async def reload(self, **changes: object) -> None:
        """Change the configuration file, and have it adopted."""
        self.serve._config.write_text(yaml.safe_dump({**self.config(), **changes}))
        assert await self.post("/reload") == 200, self.log[-2000:]

    async def post(self, path: str) -> int:
        """Status of an admin call that changes something."""
        assert self.serve._session is not None
        async with self.serve._session.post(f"http://{self.serve.admin}{path}") as reply:
            return reply.status

    # --- the machine ------------------------------------------------------------------------------------------------

    def pid_of(self, role: str) -> int:
        """The only process of a role, or the first of several."""
        return self.serve.pids(role)[0]

    @property
    def run_dir(self) -> Path:
        """The folder of this serve's sockets."""
        (found,) = self.serve.temp.glob("shadowproxy-*")
        return found


async def received(reader: asyncio.StreamReader, expected: Reply | None = None, method: str = "POST") -> Seen:
    """The next reply, or what came of it before the connection ended."""
    recording = _Recording(reader)
    try:
        return Seen(await read_reply(recording, method), expected)  # type: ignore[arg-type]
    except asyncio.IncompleteReadError as exc:
        return Seen(None, expected, bytes(recording.data) + exc.partial)
    except (ConnectionError, ValueError):
        return Seen(None, expected, bytes(recording.data))


class _Recording:
    """A stream reader that remembers what it gave."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.data = bytearray()

    async def readuntil(self, separator: bytes) -> bytes:
        return self._keep(await self._reader.readuntil(separator))

    async def readexactly(self, count: int) -> bytes:
        return self._keep(await self._reader.readexactly(count))

    async def readline(self) -> bytes:
        return self._keep(await self._reader.readline())

    async def read(self) -> bytes:
        return self._keep(await self._reader.read())

    def _keep(self, data: bytes) -> bytes:
        self.data += data
        return data


async def many(count: int, scene: Scene, asked: bytes = ASKED) -> Sequence[Seen]:
    """So many clients one after the other."""
    expected = await ask(scene.primary_url, asked)
    return [await scene.send(asked, expected) for _ in range(count)]
