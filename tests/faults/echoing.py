"""An echo server as a process of its own, so that it can be stopped like a machine that is gone: prints its URL, ends with its input."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

from shadowproxy.testing.echo import EchoServer


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Process, str]]:
    """The process, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.echoing", stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
        yield process, url
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def main() -> None:
    async with EchoServer(lifetime_s=600) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
