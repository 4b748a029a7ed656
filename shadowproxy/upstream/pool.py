"""The connections to one upstream: kept warm, handed to the next exchange without a task, and swept for overdue ones."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from shadowproxy.exchange import Outcome
from shadowproxy.tasks import Tasks
from shadowproxy.upstream.connection import Connection, Phase, Receiver
from shadowproxy.upstream.endpoint import Endpoint

#: An idle connection closed by the upstream this soon after its reply was never meant to be kept; servers that keep them do so for
#: seconds (uvicorn 5, nginx 60).
_HASTY_S = 1.0
_HASTY_CLOSES = 2

#: For how long such an upstream gets a fresh connection per request before its keep-alive is tried again.
_DISTRUST_S = 60.0


_IDLE: Final = Phase.IDLE


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines in seconds. There is none over a whole exchange: a reply may run as long as it speaks."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    keepalive_s: float


class Pool:
    """Connections to one :class:`Endpoint`. Last in, first out: the warmest connection is the least likely to be closed."""

    def __init__(self, endpoint: Endpoint, timing: Timing, tasks: Tasks, *, max_idle: int, max_header_bytes: int) -> None:
        self.endpoint = endpoint
        self.max_header_bytes = max_header_bytes
        self._timing = timing
        self._tasks = tasks
        self._max_idle = max_idle
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._connecting = 0
        self._hasty_closes = 0
        self._distrusts_until = 0.0
        self.opened = 0
        self.reused = 0

    def __repr__(self) -> str:
        return f"<Pool {self.endpoint} {len(self._idle)} idle, {len(self._busy)} busy>"

    @property
    def is_busy(self) -> bool:
        """An exchange is on its way over one of the connections, or one is being opened for it."""
        return bool(self._busy) or self._connecting > 0

    def acquire(self, receiver: Receiver, *, is_head_request: bool, fresh: bool = False) -> asyncio.Task[None] | None:
        """Give ``receiver`` a connection: at once from the pool (None is returned), or by the returned connecting task.

        Either way ``receiver.connected`` is called with it, or ``receiver.reply_failed``. Cancel the task to give up.
        """
        now = time.monotonic()
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.phase is _IDLE and not connection.is_stale(now):
                self.reused += 1
                connection.was_reused = True
                self._hand_over(connection, receiver, is_head_request, now)
                return None
            self._was_closed_idle(connection)
            connection.abandon()
        return self._tasks.start(f"connect {self.endpoint}", self._connect(receiver, is_head_request))

    def _hand_over(self, connection: Connection, receiver: Receiver, is_head_request: bool, now: float) -> None:
        self._busy.add(connection)
        connection.begin(receiver, is_head_request, now)
        receiver.connected(connection)

    async def _connect(self, receiver: Receiver, is_head_request: bool) -> None:
        self._connecting += 1
        try:
            await self._open(receiver, is_head_request)
        finally:
            self._connecting -= 1

    async def _open(self, receiver: Receiver, is_head_request: bool) -> None:
        loop = asyncio.get_running_loop()
        end = self.endpoint
        connection = Connection(self)
        try:
            async with asyncio.timeout(self._timing.connect_s):
                if end.unix_path is not None:
                    await loop.create_unix_connection(lambda: cast("asyncio.Protocol", connection), end.unix_path)
                else:
                    await loop.create_connection(
                        lambda: cast("asyncio.Protocol", connection), end.host, end.port, ssl=end.tls, server_hostname=end.server_name
                    )
        except TimeoutError:
            receiver.reply_failed(Outcome.CONNECT_FAILED, f"did not accept a connection within {self._timing.connect_s:g} s")
        except (OSError, ssl.SSLError) as exc:
            receiver.reply_failed(Outcome.CONNECT_FAILED, f"cannot be reached ({_reason(exc)})")
        else:
            self.opened += 1
            self._hand_over(connection, receiver, is_head_request, time.monotonic())

    def put_back(self, connection: Connection) -> None:
        """A finished connection returns; past ``max_idle`` the coldest one is closed."""
        self._busy.discard(connection)
        if connection.since < self._distrusts_until:
            connection.abandon()
            return
        self._idle.append(connection)
        if len(self._idle) > self._max_idle:
            self._idle.popleft().abandon()

    def forget(self, connection: Connection) -> None:
        """A closed connection is no longer ours."""
        if connection in self._busy:
            self._busy.discard(connection)
        else:
            try:
                self._idle.remove(connection)
            except ValueError:
                return
            self._was_closed_idle(connection)

    def _was_closed_idle(self, connection: Connection) -> None:
        """The upstream closed an idle connection. Twice within a moment of its reply, and its keep-alive is not believed for a while:
        the next request could otherwise be written into a closing connection, and a POST must not be repeated."""
        now = time.monotonic()
        if now - connection.since > _HASTY_S:
            return
        self._hasty_closes += 1
        if self._hasty_closes >= _HASTY_CLOSES:
            self._hasty_closes = 0
            self._distrusts_until = now + _DISTRUST_S
            while self._idle:
                self._idle.pop().abandon()

    def sweep(self, now: float) -> None:
        """Fail what is overdue and close what has idled too long. Called a few times a second: one pass instead of a timer each."""
        for connection in tuple(self._busy):
            waited = now - connection.since
            if connection.is_paused:
                continue
            if connection.phase is Phase.FIRST_BYTE and waited > self._timing.first_byte_s:
                connection.fail(Outcome.TIMEOUT, f"sent no reply within {self._timing.first_byte_s:g} s")
            elif connection.phase is Phase.SENDING and connection.is_full and waited > self._timing.idle_s:
                connection.fail(Outcome.TIMEOUT, f"took no more of the request for {self._timing.idle_s:g} s")
            elif connection.phase is Phase.REPLY and waited > self._timing.idle_s:
                connection.fail(Outcome.TIMEOUT, f"was silent for {self._timing.idle_s:g} s in the middle of its reply")
        while self._idle and now - self._idle[0].since > self._timing.keepalive_s:
            self._idle.popleft().abandon()

    def close(self) -> None:
        """Close every connection; owners are told."""
        for connection in tuple(self._busy):
            connection.fail(Outcome.RESET, "was cut off because this process stops")
        while self._idle:
            self._idle.pop().abandon()


def _reason(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {exc.reason or exc}".lower()
    return (exc.strerror or str(exc)).lower()
