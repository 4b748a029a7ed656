"""The connections to one upstream: kept warm, handed to the next exchange without a task, and swept for overdue ones."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass

from shadowproxy.exchange import Outcome
from shadowproxy.tasks import Tasks
from shadowproxy.upstream.connection import Connection, Phase, Receiver
from shadowproxy.upstream.endpoint import Endpoint


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
        self.opened = 0
        self.reused = 0

    def __repr__(self) -> str:
        return f"<Pool {self.endpoint} {len(self._idle)} idle, {len(self._busy)} busy>"

    def acquire(self, receiver: Receiver, *, is_head_request: bool, fresh: bool = False) -> asyncio.Task[None] | None:
        """Give ``receiver`` a connection: at once from the pool (None is returned), or by the returned connecting task.

        Either way ``receiver.connected`` is called with it, or ``receiver.reply_failed``. Cancel the task to give up.
        """
        while self._idle and not fresh:
            connection = self._idle.pop()
            assert connection.transport is not None
            if connection.phase is Phase.IDLE and not connection.transport.is_closing():
                self.reused += 1
                connection.was_reused = True
                self._hand_over(connection, receiver, is_head_request)
                return None
        return self._tasks.start(f"connect {self.endpoint}", self._connect(receiver, is_head_request))

    def _hand_over(self, connection: Connection, receiver: Receiver, is_head_request: bool) -> None:
        self._busy.add(connection)
        connection.begin(receiver, is_head_request)
        receiver.connected(connection)

    async def _connect(self, receiver: Receiver, is_head_request: bool) -> None:
        loop = asyncio.get_running_loop()
        end = self.endpoint
        try:
            async with asyncio.timeout(self._timing.connect_s):
                if end.unix_path is not None:
                    _, connection = await loop.create_unix_connection(lambda: Connection(self), end.unix_path)
                else:
                    _, connection = await loop.create_connection(
                        lambda: Connection(self), end.host, end.port, ssl=end.tls, server_hostname=end.server_name
                    )
        except TimeoutError:
            receiver.reply_failed(Outcome.CONNECT_FAILED, f"did not accept a connection within {self._timing.connect_s:g} s")
        except (OSError, ssl.SSLError) as exc:
            receiver.reply_failed(Outcome.CONNECT_FAILED, f"cannot be reached ({_reason(exc)})")
        else:
            self.opened += 1
            self._hand_over(connection, receiver, is_head_request)

    def put_back(self, connection: Connection) -> None:
        """A finished connection returns; past ``max_idle`` the coldest one is closed."""
        self._busy.discard(connection)
        connection.since = time.monotonic()
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

    def sweep(self, now: float) -> None:
        """Fail what is overdue and close what has idled too long. Called a few times a second: one pass instead of a timer each."""
        for connection in tuple(self._busy):
            waited = now - connection.since
            if connection.is_paused:
                continue
            if connection.phase is Phase.FIRST_BYTE and waited > self._timing.first_byte_s:
                connection.fail(Outcome.TIMEOUT, f"sent no reply within {self._timing.first_byte_s:g} s")
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
