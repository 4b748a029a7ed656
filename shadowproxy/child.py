"""What every child process does besides its work: report counts to the supervisor, answer it, and stop when told or orphaned."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from shadowproxy import control
from shadowproxy.config import build
from shadowproxy.control import Channel, Hello, Message, Ready, Report
from shadowproxy.counts import Counts
from shadowproxy.errors import FrameError, ShadowproxyError
from shadowproxy.logs import set_up
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)

#: What a killed process had counted since its last report is lost: a fifth of a second of it.
_REPORT_S = 0.2

#: Between a line that broke, or was refused, and the next.
_RECONNECT_S = 0.1

#: How long the last report may take to be written at the end.
_LAST_REPORT_S = 1.0


class Spec(msgspec.Struct, frozen=True):
    """What a child is told on standard input. ``fds`` are listening sockets it inherits, ``mirrored_fds`` those for other mirrors'
    copies; ``supervisor`` is who started it (process id)."""

    config: dict[str, Any]
    run_dir: str
    handover: str
    name: str
    boot: str
    supervisor: int = 0
    fds: list[int] = []
    mirrored_fds: list[int] = []


class Leash:
    """A child's tie to its supervisor."""

    def __init__(self, role: str, spec: Spec, counts: Counts, tasks: Tasks) -> None:
        self._role = role
        self._spec = spec
        self._counts = counts
        self._tasks = tasks
        self._channel: Channel | None = None
        self._stop = asyncio.Event()
        self._supervisor = spec.supervisor or os.getppid()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)

    async def hold(self, refresh: Callable[[], None], answer: Callable[[Message], None]) -> None:
        """Say hello and ready, report until stopped, return then. ``refresh`` writes plain integers into the counts before each report."""
        self._tasks.start("tie to the supervisor", self._stay_tied(refresh, answer))
        await self._stop.wait()

    async def _stay_tied(self, refresh: Callable[[], None], answer: Callable[[Message], None]) -> None:
        """Connect, and again where the line breaks while the supervisor lives: the work goes on meanwhile. Without it, stop."""
        try:
            while not self._stop.is_set() and not self._is_orphan():
                try:
                    channel = await control.connect(Path(self._spec.run_dir) / "control.sock")
                except OSError as exc:
                    _log.debug("cannot reach the supervisor yet: %s", exc)
                else:
                    await self._use(channel, refresh, answer)
                    if not self._stop.is_set() and not self._is_orphan():
                        _log.warning("the line to the supervisor broke; connecting anew")
                # The kernel closes a process's sockets a moment before its children see that it is gone.
                await asyncio.sleep(_RECONNECT_S)
            if not self._stop.is_set():
                _log.warning("the supervisor is gone; ending")
        finally:
            self._stop.set()

    async def _use(self, channel: Channel, refresh: Callable[[], None], answer: Callable[[Message], None]) -> None:
        """Report and answer until this line ends."""
        channel.send(Hello(self._role, self._spec.name, self._spec.boot, os.getpid()))
        channel.send(Ready())
        channel.send(Report.of(self._counts.everything()))
        self._channel = channel
        reporting = self._tasks.start("report", self._report_forever(channel, refresh))
        await self._listen(channel, answer)
        reporting.cancel()
        if not self._stop.is_set():
            self._channel = None
            await channel.close()

    def _is_orphan(self) -> bool:
        """The supervisor is gone: nobody would restart us or ask for us."""
        return os.getppid() != self._supervisor

    def send(self, message: Message) -> None:
        if self._channel is not None:
            self._channel.send(message)

    async def let_go(self, refresh: Callable[[], None]) -> None:
        """Send the last report."""
        if self._channel is not None:
            refresh()
            self._channel.send(Report.of(self._counts.everything()))
            try:
                async with asyncio.timeout(_LAST_REPORT_S):
                    await self._channel.drain()
            except (TimeoutError, ConnectionError) as exc:
                _log.debug("the supervisor did not take the last report: %s", exc)  # it was killed, or hangs: nobody is left to tell
            await self._channel.close()
        if self._is_orphan():
            # Killed, it could not tidy up. The last child to end removes what all of them shared; sockets in use stay usable.
            shutil.rmtree(self._spec.run_dir, ignore_errors=True)

    async def _listen(self, channel: Channel, answer: Callable[[Message], None]) -> None:
        try:
            while (message := await channel.receive()) is not None:
                try:
                    answer(message)
                except Exception:  # noqa: BLE001 - whatever it is, the tie to the supervisor must hold
                    _log.exception("a message from the supervisor could not be answered: %r", message)
        except FrameError as exc:
            _log.error("the line to the supervisor is out of step: %s", exc)

    async def _report_forever(self, channel: Channel, refresh: Callable[[], None]) -> None:
        while True:
            refresh()
            channel.send(Report.of(self._counts.take_changes()))  # an empty one, too: silence means a hung process
            try:
                await channel.drain()
            except ConnectionError:
                return  # the line is gone, as the listening side sees, too
            await asyncio.sleep(_REPORT_S)


def main(work: Callable[[Spec], Awaitable[None]]) -> None:
    """Entry of a child process: :class:`Spec` as JSON on standard input, ``work`` on a loop of its own."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    set_up(build(spec.config).log, spec.name)

    async def run() -> None:
        await work(spec)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except ShadowproxyError as exc:
        _log.error("%s", exc)
        raise SystemExit(control.EXIT_CANNOT_START) from None


def spare_the_collector() -> None:
    """What exists now lives as long as the process, and next to nothing on the data path is cyclic: neither shall be walked every few
    hundred allocations in the middle of traffic."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def unexpected(message: Message) -> None:
    _log.error("unexpected message from the supervisor: %r", message)
