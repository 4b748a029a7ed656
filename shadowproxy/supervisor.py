"""The parent of all processes: binds the ports, starts gateway workers and the shadow process, restarts what dies, adds up their counts.

It owns what must survive a shadow process: the counts so far, the frozen TTFT references, the verdict. It is not on the client's path.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from shadowproxy import control
from shadowproxy.admin.app import Health
from shadowproxy.config import Config
from shadowproxy.control import Channel, Hello, PairsReply, PairsRequest, Ready, Reference, Report
from shadowproxy.counts import PROCESS_STARTS, Counts, Totals
from shadowproxy.errors import ShadowproxyError, StartError
from shadowproxy.judging import Judge
from shadowproxy.sockets import address_of, bind
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)

#: Exit code of a child that cannot do its work as configured: restarting would not help. sysexits.h EX_CONFIG.
EXIT_CANNOT_START = 78

_RESTART_FIRST_S = 0.1  # a crash costs at most this before the new process is started
_RESTART_MOST_S = 5.0  # a process that crashes again and again must not eat a core
_HEALTHY_AFTER_S = 10.0
_PAIRS_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Child:
    """One child process through all its boots."""

    role: str
    name: str
    spec: dict[str, object]
    fds: tuple[int, ...] = ()
    process: asyncio.subprocess.Process | None = None
    channel: Channel | None = None
    was_ever_ready: bool = False
    is_ready: bool = False
    boots: int = 0
    boot: str = ""


@dataclass(slots=True)
class _Asked:
    """Requests to the shadow process that wait for their answer."""

    ids: itertools.count[int] = field(default_factory=itertools.count)
    waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)


class Supervisor:
    """Runs until :meth:`stop` is called or a child cannot start. Implements the admin surface's state."""

    def __init__(self, config: Config, tasks: Tasks) -> None:
        self._config = config
        self._tasks = tasks
        self._run_dir = Path(tempfile.mkdtemp(prefix="shadowproxy-"))
        self._sockets: list[socket.socket] = []
        self._children: list[Child] = []
        self._references: dict[tuple[str, str], Reference] = {}
        self._asked = _Asked()
        self._own = Counts()
        self._is_stopping = False
        self._stopped = asyncio.Event()
        self._failure: StartError | None = None
        self._control: asyncio.AbstractServer | None = None
        self.totals = Totals()
        self.judge = Judge(config, self.totals)
        self.address = ""

    # --- admin state ------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Ready: every gateway worker serves. The shadow process is not asked: without it evidence is lost, never a reply."""
        reasons = [f"{child.name} is not serving" for child in self._children if child.role == "gateway" and not child.is_ready]
        if self._is_stopping:
            reasons.insert(0, "draining")
        notes = tuple(f"{child.name} is not running" for child in self._children if child.role == "shadow" and not child.is_ready)
        return Health(alive=True, ready=not reasons, reasons=(*reasons, *notes))

    def verdicts(self) -> tuple[Mapping[str, object], ...]:
        return self.judge.documents()

    async def pairs(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        """Ask the shadow process for its latest pairs."""
        shadow = next((child for child in self._children if child.role == "shadow"), None)
        if shadow is None or shadow.channel is None:
            raise ShadowproxyError("the shadow process is not running; it is restarted within seconds")
        ask = next(self._asked.ids)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.waiting[ask] = future
        try:
            shadow.channel.send(PairsRequest(ask, limit, rollout))
            answer = await asyncio.wait_for(future, _PAIRS_TIMEOUT_S)
        except TimeoutError:
            raise ShadowproxyError(f"the shadow process did not answer within {_PAIRS_TIMEOUT_S:g} s; try again") from None
        finally:
            del self._asked.waiting[ask]
        return tuple(orjson.loads(answer))

    # --- life cycle -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, start every child, and return when all of them serve. Raises :class:`StartError`."""
        self._sockets = bind(self._config.listen, self._config.workers)
        self.address = address_of(self._sockets[0])
        self._control = await control.listen(self._run_dir / "control.sock", self._serve_child)
        common: dict[str, object] = {"config": self._config.model_dump(mode="json"), "run_dir": str(self._run_dir)}
        if self._config.candidates:
            self._children.append(Child("shadow", "shadow", {**common, "name": "shadow"}))
        for index in range(self._config.workers):
            fd = self._sockets[index % len(self._sockets)].fileno()
            name = f"gateway-{index}"
            self._children.append(Child("gateway", name, {**common, "name": name, "fds": [fd]}, (fd,)))
        for child in self._children:
            self._tasks.start(f"keep {child.name}", self._keep_running(child))
        self._tasks.start("judge", self._judge_forever())
        while not all(child.is_ready for child in self._children):
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(0.01)

    async def wait(self) -> None:
        """Until stopped. Raises what stopped it."""
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to drain. Safe to call from a signal handler, and more than once."""
        if not self._is_stopping:
            self._is_stopping = True
            self._tasks.start("drain", self._drain())

    async def _drain(self) -> None:
        await self._end([child for child in self._children if child.role == "gateway"], self._config.limits.drain_s + 2)
        await self._end([child for child in self._children if child.role == "shadow"], 5)
        self.judge.look()
        self._stopped.set()

    async def close(self) -> None:
        """Leave nothing behind: no child, no socket, no file."""
        self._is_stopping = True
        await self._end(self._children, 2)
        if self._control is not None:
            self._control.close()
        for sock in self._sockets:
            sock.close()
        if self._config.listen.startswith("unix:") and self._sockets:
            Path(self._config.listen[5:]).unlink(missing_ok=True)
        shutil.rmtree(self._run_dir, ignore_errors=True)

    async def _end(self, children: list[Child], within_s: float) -> None:
        """SIGTERM, wait, SIGKILL."""
        running = [child.process for child in children if child.process is not None and child.process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        if running:
            await asyncio.wait([asyncio.ensure_future(process.wait()) for process in running], timeout=within_s)
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()

    # --- children ---------------------------------------------------------------------------------------------------

    async def _keep_running(self, child: Child) -> None:
        delay = _RESTART_FIRST_S
        while not self._is_stopping:
            started = time.monotonic()
            code = await self._run_once(child)
            if self._should_end():
                return
            if code == EXIT_CANNOT_START and not child.was_ever_ready:
                self._failure = StartError(f"{child.name} cannot start; its message is above")
                self._stopped.set()
                return
            if time.monotonic() - started > _HEALTHY_AFTER_S:
                delay = _RESTART_FIRST_S
            _log.warning("%s ended with %s; restarting in %.1f s", child.name, _ending(code), delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RESTART_MOST_S)

    def _should_end(self) -> bool:
        """Asked again after every wait: a stop may have come meanwhile."""
        return self._is_stopping

    async def _run_once(self, child: Child) -> int:
        child.boots += 1
        child.boot = f"{child.name}/{child.boots}"
        self._own.add(PROCESS_STARTS, child.role)
        self.totals.absorb("supervisor", self._own.take_changes())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shadowproxy.app",
            child.role,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=child.fds,
            start_new_session=True,  # Ctrl-C is for us; we tell the children when to stop
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        child.process = process
        try:
            assert process.stdin is not None
            process.stdin.write(orjson.dumps({**child.spec, "boot": child.boot}))
            process.stdin.close()
            return await process.wait()
        finally:
            child.is_ready = False
            child.channel = None
            self.totals.end(child.boot)

    async def _serve_child(self, channel: Channel) -> None:
        """Read one child's messages until it is gone."""
        hello = await channel.receive()
        if not isinstance(hello, Hello):
            return
        child = next((child for child in self._children if child.boot == hello.boot), None)
        if child is None:
            return
        child.channel = channel
        if child.role == "shadow":
            for reference in self._references.values():
                channel.send(reference)
        while (message := await channel.receive()) is not None:
            if child.boot != hello.boot:
                return  # the next boot is already running; what this one still says was counted when it ended
            self._take(child, hello.boot, message)

    def _take(self, child: Child, boot: str, message: control.Message) -> None:
        match message:
            case Report(counts):
                self.totals.absorb(boot, dict(counts))
            case Ready():
                child.is_ready = child.was_ever_ready = True
            case Reference(rollout, route, _):
                self._references[rollout, route] = message
            case PairsReply(ask, pairs):
                future = self._asked.waiting.get(ask)
                if future is not None and not future.done():
                    future.set_result(pairs)
            case _:
                _log.error("unexpected message %r from %s", message, child.name)

    async def _judge_forever(self) -> None:
        while True:
            await asyncio.sleep(self._config.verdict.interval_s)
            self.judge.look()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
