"""``shadowproxy judge`` as a real process, watched through its admin API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from shadowproxy.config import Gates

START_S = 60.0
DEADLINE_S = 40.0


def only_errors(margin: float) -> dict[str, dict[str, object]]:
    """The gates of a configuration in which nothing but failures is judged."""
    others = {name: {"enabled": False} for name in Gates.model_fields if name != "budgets"}
    return {**others, "error": {"margin": margin}}


class Judging:
    """One running judge. Made by :func:`judging`."""

    def __init__(self, folder: Path, tree: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._config = folder / "judge.yaml"
        self._config.write_text(yaml.safe_dump(dict(tree)))
        self._log = folder / "judge.log"
        self._env = {**os.environ, **env}
        self.process: asyncio.subprocess.Process | None = None
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self.admin = ""

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shadowproxy", "judge", "-c", str(self._config),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env,
            )  # fmt: skip
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("shadowproxy: judging "), f"{line!r}; log:\n{self.log}"
        self.admin = line.strip().rpartition("admin on ")[2]

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    async def clean_up(self) -> None:
        await self._session.close()
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
            self.process._transport.close()  # type: ignore[attr-defined]

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and content of an admin endpoint."""
        async with self._session.get(f"http://{self.admin}{path}") as reply:
            return reply.status, await (reply.json() if reply.content_type == "application/json" else reply.text())

    async def verdict(self, rollout: str) -> dict[str, Any]:
        status, document = await self.get(f"/verdict?rollout={rollout}")
        assert status == 200
        return document

    async def wait_until(self, rollout: str, condition: Callable[[dict[str, Any]], object], within_s: float = DEADLINE_S) -> dict[str, Any]:
        """Ask for the verdict until ``condition`` holds."""
        document = await self.verdict(rollout)
        try:
            async with asyncio.timeout(within_s):
                while not condition(document):
                    await asyncio.sleep(0.1)
                    document = await self.verdict(rollout)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; last seen: {document}; log:\n{self.log[-3000:]}") from None
        return document


@contextlib.asynccontextmanager
async def judging(folder: Path, tree: Mapping[str, Any], env: Mapping[str, str] | None = None) -> AsyncIterator[Judging]:
    """Judge for the time of the block; then it ends with 0."""
    judge = Judging(folder, tree, env or {})
    try:
        await judge.start()
        yield judge
        assert await judge.stop() == 0, judge.log
        assert "Traceback" not in judge.log
    finally:
        await judge.clean_up()
