"""A real Prometheus on loopback, with its data in a folder of its own, ended by pid. What it stores can be read back sample by sample."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.gateway.wires import closed_port

PROGRAM = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROGRAM is None, reason="prometheus is not installed")

SCRAPE_S = 0.5
_START_S = 60.0


class RealPrometheus:
    """One running Prometheus. Made by :func:`prometheus`."""

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self.port = closed_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = folder / "prometheus.yml"
        self._config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": f"{SCRAPE_S * 1000:.0f}ms", "scrape_timeout": f"{SCRAPE_S * 1000:.0f}ms"},
                    "scrape_configs": [{"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()],
                }
            )
        )
        self._process: asyncio.subprocess.Process | None = None
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def start(self) -> None:
        assert PROGRAM is not None
        arguments = (f"--config.file={self._config}", f"--storage.tsdb.path={self._folder / 'data'}", "--log.level=error")
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PROGRAM, *arguments, f"--web.listen-address=127.0.0.1:{self.port}", stdout=log, stderr=log
            )
        async with asyncio.timeout(_START_S):
            while not await self._is_ready():
                assert self._process.returncode is None, (self._folder / "prometheus.log").read_text()
                await asyncio.sleep(0.05)

    async def _is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with self._session.get(f"{self.url}/-/ready") as reply:
                return reply.status == 200
        return False

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 10)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        if self._process is not None:
            await self.stop()
        await self._session.close()

    async def samples(self, selector: str, over: str = "1h") -> list[tuple[dict[str, str], list[float]]]:
        """(labels, values in order of time) of every stored series: what was scraped, without any function over it."""
        async with self._session.get(f"{self.url}/api/v1/query", params={"query": f"{selector}[{over}]"}) as reply:
            answer: dict[str, Any] = await reply.json()
        assert answer["status"] == "success", answer
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in answer["data"]["result"]]

    async def value(self, query: str) -> float:
        """The only value of a query; 0 where there is none."""
        async with self._session.get(f"{self.url}/api/v1/query", params={"query": query}) as reply:
            result = (await reply.json())["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0


@contextlib.asynccontextmanager
async def prometheus(folder: Path, jobs: Mapping[str, Sequence[str]]) -> AsyncIterator[RealPrometheus]:
    """Prometheus for the time of the block. ``jobs``: name → targets."""
    running = RealPrometheus(folder, jobs)
    try:
        await running.start()
        yield running
    finally:
        await running.close()
