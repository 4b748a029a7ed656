"""``shadowproxy serve`` as a real process: started from a YAML file, watched through its admin API, ended by pid, searched for leftovers.

Every process of one serve carries a temporary folder of its own in its environment, so that what is left behind can be told from
everything else on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from prometheus_client.parser import text_string_to_metric_families

START_S = 60.0
DEADLINE_S = 30.0
SETTLE_S = 0.45  # children report five times a second


class Scrape:
    """One look at /metrics."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    @property
    def counters(self) -> dict[tuple[str, ...], float]:
        """Every counter by name and label values."""
        return {(each.name, *each.labels.values()): each.value for each in self.samples if each.name.endswith("_total")}

    def value(self, name: str, **labels: str) -> float:
        """The sum over every series of ``name`` that carries these labels; 0 where there is none."""
        wanted = labels.items()
        return sum(sample.value for sample in self.samples if sample.name == name and wanted <= sample.labels.items())

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Sums of ``name`` by the values of one label."""
        wanted = labels.items()
        found: dict[str, float] = {}
        for sample in self.samples:
            if sample.name == name and wanted <= sample.labels.items():
                found[sample.labels[label]] = found.get(sample.labels[label], 0) + sample.value
        return found


#: Most tests ask the same again and again and count the answers, and none but those that say so compare languages.
PLAIN: Mapping[str, Any] = {"units": {"drop_repeats": False}, "compare": {"languages": False}}


class Serving:
    """One running ``shadowproxy serve``. Made by :func:`serving`."""

    def __init__(self, tree: Mapping[str, Any], env: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        # Not the test's folder: its path may be too long for the sockets (108 bytes, unix(7)).
        self.folder = Path(tempfile.mkdtemp(prefix="serve-"))
        self.temp = self.folder / "t"
        self.temp.mkdir()
        self._log = self.folder / "log"
        self._config = self.folder / "config.yaml"
        self._config.write_text(
            yaml.safe_dump({**PLAIN, "listen": "127.0.0.1:0", **tree, "admin": {"listen": "127.0.0.1:0", **tree.get("admin", {})}})
        )
        self._env = {**os.environ, **env, "TMPDIR": str(self.temp)}
        self._arguments = arguments
        self.process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self.address = ""
        self.admin = ""

    @property
    def url(self) -> str:
        return self.address if self.address.startswith("unix:") else f"http://{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What every process of this serve has logged so far."""
        return self._log.read_text(errors="replace")

    # --- life ---------------------------------------------------------------------------------------------------------

    async def launch(self) -> None:
        """Start the process, without waiting for anything."""
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shadowproxy", "serve", "-c", str(self._config), *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env, start_new_session=True,
            )  # fmt: skip

    async def start(self) -> None:
        await self.launch()
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("shadowproxy: serving on "), f"{line!r}; log:\n{self.log}"
        self.address, _, self.admin = line.strip().removeprefix("shadowproxy: serving on ").partition(", admin on ")
        connector = aiohttp.UnixConnector(self.admin[5:]) if self.admin.startswith("unix:") else None
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))

    async def exit_code(self, within_s: float = DEADLINE_S) -> int:
        """Wait for the end of the process."""
        assert self.process is not None
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def stop(self, within_s: float = DEADLINE_S) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.exit_code(within_s)

    async def clean_up(self) -> None:
        """Whatever happened: end what still runs, one by one, and delete the folder."""
        if self._session is not None:
            await self._session.close()
        for pid in self.everyone():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()
            self.process._transport.close()  # type: ignore[attr-defined]
        shutil.rmtree(self.folder, ignore_errors=True)

    def everyone(self) -> list[int]:
        """Processes of this serve that are alive, whoever their parent is by now."""
        mark = f"TMPDIR={self.temp}".encode()
        return [pid for pid in _all_pids() if mark in _read(pid, "environ").split(b"\0")]

    def pids(self, role: str) -> list[int]:
        """Children that run as ``gateway`` or ``shadow``."""
        return [
            pid
            for pid in self.everyone()
            if _read(pid, "cmdline").rstrip(b"\0").split(b"\0")[-1] == f"shadowproxy.processes.{role}".encode()
        ]

    def temp_files(self) -> list[str]:
        """What lies in the temporary folder."""
        return sorted(path.name for path in self.temp.iterdir())

    # --- admin --------------------------------------------------------------------------------------------------------

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of an admin endpoint."""
        assert self._session is not None
        where = "http://localhost" if self.admin.startswith("unix:") else f"http://{self.admin}"
        async with self._session.get(where + path) as reply:
            return reply.status, await reply.read()

    async def scrape(self) -> Scrape:
        status, body = await self.get("/metrics")
        assert status == 200
        return Scrape(body.decode())

    async def metric(self, name: str, **labels: str) -> float:
        return (await self.scrape()).value(name, **labels)

    async def wait_until(self, condition: Callable[[Scrape], object], within_s: float = DEADLINE_S) -> Scrape:
        """Scrape until ``condition`` holds."""
        scrape = await self.scrape()
        try:
            async with asyncio.timeout(within_s):
                while not condition(scrape):
                    await asyncio.sleep(0.05)
                    scrape = await self.scrape()
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; last seen: {scrape.counters}; log:\n{self.log[-3000:]}") from None
        return scrape

    async def wait_for(self, name: str, value: float, within_s: float = DEADLINE_S, **labels: str) -> Scrape:
        """Scrape until the sum of ``name`` over these labels is ``value``."""
        return await self.wait_until(lambda scrape: scrape.value(name, **labels) == value, within_s)

    async def settled(self) -> Scrape:
        """A scrape that holds everything that has happened: nothing changed since the look before, and every request is accounted for.
        Where some never will be, nothing changed for longer than a busy machine holds up a report."""
        async with asyncio.timeout(DEADLINE_S):
            last, quiet = await self.scrape(), 0
            while True:
                await asyncio.sleep(SETTLE_S)
                scrape = await self.scrape()
                quiet = quiet + 1 if _of_ours(scrape) == _of_ours(last) else 0
                if quiet >= (2 if _is_balanced(scrape) else 4):
                    return scrape
                last = scrape

    async def verdict(self, rollout: str | None = None) -> dict[str, Any]:
        """The document of one rollout (of the only one, where none is named)."""
        status, body = await self.get("/verdict" + (f"?rollout={rollout}" if rollout else ""))
        assert status == 200
        document = orjson.loads(body)
        return document if rollout else document["verdicts"][0]


@contextlib.asynccontextmanager
async def serving(
    tree: Mapping[str, Any], env: Mapping[str, str] | None = None, *, stops_cleanly: bool = True, arguments: Sequence[str] = ()
) -> AsyncIterator[Serving]:
    """Serve ``tree`` for the time of the block; then it ends with 0 and leaves no process and no file."""
    serve = Serving(tree, env or {}, arguments)
    try:
        await serve.start()
        yield serve
        if stops_cleanly:
            assert await serve.stop() == 0, serve.log
            assert serve.everyone() == []
            assert serve.temp_files() == [], [str(p) for p in serve.temp.rglob("*")]
            assert "Traceback" not in serve.log
    finally:
        await serve.clean_up()


async def run_cli(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shadowproxy", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **(env or {})},
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def eventually(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def _is_balanced(scrape: Scrape) -> bool:
    """Every request was handed over or not mirrored, came to the shadow process, and has its pairs resolved."""
    requests, handed_over, not_mirrored, issued, resolved = (
        scrape.value(f"shadowproxy_{name}_total") for name in ("requests", "handed_over", "not_mirrored", "pairs_issued", "pairs_resolved")
    )
    return requests == handed_over + not_mirrored and handed_over == scrape.value("shadowproxy_received_total") and issued == resolved


def _of_ours(scrape: Scrape) -> dict[tuple[str, ...], float]:
    """Counters of the proxy, without those of the process that is scraped (processor time)."""
    return {key: value for key, value in scrape.counters.items() if key[0].startswith("shadowproxy_")}


def _all_pids() -> Iterable[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty for a process that is gone, a zombie, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
