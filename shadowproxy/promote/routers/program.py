"""A program of the operator's that shifts traffic. See ``percent``."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Sequence

from shadowproxy.errors import RouterBusy, RouterRefused
from shadowproxy.promote.routers.percent import DELAY_S, Answer, Ask, read_answer

#: sysexits.h EX_TEMPFAIL: "you are invited to retry".
_TRY_AGAIN = 75


class Program:
    """A program: run with ``get`` it prints ``{"percent": N}``, with ``set N`` it makes it so. 0 is done, 75 try again, all else
    refused."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = tuple(command)
        self._timeout_s = timeout_s

    def __str__(self) -> str:
        return self._command[0]

    async def ask(self) -> Answer:
        return read_answer(await self._run("get"), str(self))

    async def tell(self, ask: Ask) -> None:
        await self._run("set", str(ask.percent), rollout=ask.rollout, candidate=ask.candidate, version=ask.version)

    def shown(self, percent: int) -> str:
        return shlex.join((*self._command, "set", str(percent)))

    async def close(self) -> None:
        """Nothing is open."""

    async def _run(self, *words: str, **told: str) -> bytes:
        environ = {**os.environ, **{f"SHADOWPROXY_{key.upper()}": value for key, value in told.items()}}
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, *words, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except OSError as exc:
            raise RouterRefused(f"{self} cannot be run ({exc.strerror})", "correct the command") from exc
        try:
            async with asyncio.timeout(self._timeout_s):
                output, errors = await process.communicate()
        except TimeoutError as exc:
            raise RouterBusy(f"{self} {words[0]} took more than {self._timeout_s:g} s", DELAY_S) from exc
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = errors[-500:].decode("utf-8", "replace").strip() or f"exit code {process.returncode}"
        if process.returncode == _TRY_AGAIN:
            raise RouterBusy(f"{self} {words[0]}: {said}", DELAY_S)
        if process.returncode:
            raise RouterRefused(f"{self} {words[0]}: {said}", "repair the program, or let it end with 75 where trying again helps")
        return output
