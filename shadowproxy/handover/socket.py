"""The hand-over between processes of one machine: a Unix socket.

The writing end lives in a gateway worker and never waits: frames are collected and written once per loop turn; what does not fit the
stated bound, or finds nobody listening, is dropped and counted. The reading end lives in the shadow process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

from shadowproxy.errors import FrameError
from shadowproxy.handover.frames import ExchangeFrame, FrameCodec
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)

#: Between attempts to reach a shadow process that is gone. Well below the 2 s within which it is restarted.
_RECONNECT_S = 0.05


class _Line(asyncio.Protocol):
    """One connection to a shadow process."""

    def __init__(self, writer: HandoverWriter, path: Path) -> None:
        self._writer = writer
        self.path = path
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one without being a subclass
        self._writer.line_is_up(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writer.line_is_down(self)


class HandoverWriter:
    """The gateway's end."""

    def __init__(self, path: Path, buffer_bytes: int, tasks: Tasks) -> None:
        self._path = path
        self._bound = buffer_bytes
        self._tasks = tasks
        self._codec = FrameCodec()
        self._line: _Line | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._is_closing = False
        self.handed_over = 0

    def __repr__(self) -> str:
        state = "connected" if self._line else "gone"
        return f"<HandoverWriter {state} {self._pending_bytes} bytes pending>"

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    async def connected(self, within_s: float) -> None:
        """Wait for the first connection, at most this long."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self._line is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        self._tasks.start("hand-over connect", self._connect(self._path))

    def move(self, path: Path, buffer_bytes: int) -> None:
        """Hand over to another shadow process from now on. What the old one was given still reaches it."""
        self._path = path
        self._bound = buffer_bytes
        self.start()

    async def _connect(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_closing and path == self._path:
            try:
                await loop.create_unix_connection(lambda: _Line(self, path), str(path))
            except OSError:
                await asyncio.sleep(_RECONNECT_S)
            else:
                return

    def line_is_up(self, line: _Line) -> None:
        old, self._line = self._line, line
        if old is not None and old.transport is not None:
            self._flush_to(old)
            old.transport.close()  # after what it still holds is written

    def line_is_down(self, line: _Line) -> None:
        if line is not self._line:
            return
        self._line = None
        self._pending = []
        self._pending_bytes = 0
        if not self._is_closing:
            _log.warning("the shadow process is gone; exchanges are dropped and counted until it is back")
            self.start()

    @property
    def refusal(self) -> str:
        """Why nothing can be handed over now, or "". Asked before a frame is made, which is work."""
        line = self._line
        if line is None or line.transport is None:
            return "handover_gone"
        if self._pending_bytes + line.transport.get_write_buffer_size() >= self._bound:
            return "handover_full"
        return ""

    def offer(self, frame: ExchangeFrame) -> None:
        """Hand one exchange over. Never blocks. Only after ``refusal`` was asked."""
        data = self._codec.encode(frame)
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.handed_over += 1

    def _flush(self) -> None:
        if self._line is not None:
            self._flush_to(self._line)

    def _flush_to(self, line: _Line) -> None:
        pending, self._pending = self._pending, []
        self._pending_bytes = 0
        if line.transport is not None and pending:
            line.transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    async def close(self, within_s: float) -> None:
        """Write out what is pending, waiting at most ``within_s``."""
        self._is_closing = True
        self._flush()
        transport = self._line.transport if self._line else None
        if transport is None:
            return
        deadline = asyncio.get_running_loop().time() + within_s
        while self._line is not None and transport.get_write_buffer_size() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)  # a transport has no "drained" event of its own outside of streams
        transport.close()


class Lines:
    """The connections of workers to one shadow process that are open now. While they are held, nothing is read from them: what workers
    write waits in the kernel and, to their bound, in their own buffers."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.is_held = is_held
        self._open: set[HandoverReader] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, line: HandoverReader) -> None:
        self._open.add(line)

    def discard(self, line: HandoverReader) -> None:
        self._open.discard(line)

    def read(self) -> None:
        """Hold them no longer."""
        self.is_held = False
        for line in tuple(self._open):
            line.read()

    async def ended(self, within_s: float) -> None:
        """Wait until every worker has closed its line, at most this long: what it had written before is read by then."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self._open and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)


class HandoverReader(asyncio.Protocol):
    """The shadow process's end: one per worker connection."""

    def __init__(self, receive: Callable[[ExchangeFrame], None], on_broken: Callable[[], None], lines: Lines) -> None:
        self._receive = receive
        self._on_broken = on_broken
        self._lines = lines
        self._codec = FrameCodec()
        self._early = b""
        self._transport: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)
        self._lines.add(self)

    def read(self) -> None:
        """What came before is taken now, and what comes from now on."""
        if self._transport is not None and self._early:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._lines.is_held and self._transport is not None:
            self._early += data
            self._transport.pause_reading()  # only now: uvloop begins to read after ``connection_made``, whatever was said there
            return
        try:
            for frame in self._codec.feed(data):
                self._receive(frame)
        except (FrameError, MemoryError) as exc:
            _log.error("hand-over connection dropped: %s", str(exc) or "out of memory")
            self._on_broken()
            if self._transport is not None:
                self._transport.close()


async def listen(
    path: Path, receive: Callable[[ExchangeFrame], None], on_broken: Callable[[], None], lines: Lines | None = None
) -> asyncio.AbstractServer:
    """Accept workers on ``path``; ``lines`` keeps those that are connected. A socket file left by a killed predecessor is replaced."""
    path.unlink(missing_ok=True)
    kept = Lines() if lines is None else lines
    return await asyncio.get_running_loop().create_unix_server(lambda: HandoverReader(receive, on_broken, kept), str(path))
