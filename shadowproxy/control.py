"""The channel between the supervisor and its child processes: reports up, requests down. Unix socket, msgpack, 4-byte length.

Children report cumulative counts, so a lost connection loses nothing that the next report does not bring again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from shadowproxy.counts import CountKey
from shadowproxy.errors import FrameError

_log = logging.getLogger(__name__)
_LENGTH = struct.Struct(">I")

#: Exit code of a child that cannot do its work as configured: restarting would not help. sysexits.h EX_CONFIG.
EXIT_CANNOT_START = 78

_MAX_BYTES = 256 * 1024 * 1024


class Hello(msgspec.Struct, frozen=True, tag=True):
    """First word of a child. ``boot`` is unique to this start of it."""

    role: str
    name: str
    boot: str
    pid: int


class Report(msgspec.Struct, frozen=True, tag=True):
    """Current values of counts that changed."""

    counts: list[tuple[tuple[str, ...], float]]

    @classmethod
    def of(cls, changes: dict[CountKey, float]) -> Report:
        return cls(list(changes.items()))


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The child does its work now."""


class Reference(msgspec.Struct, frozen=True, tag=True):
    """The primary's tail of a latency (``measure``) that a rollout's gate was frozen on; kept by the supervisor so that a restarted shadow
    process judges by the same one."""

    rollout: str
    route: str
    measure: str
    seconds: float


class Spent(msgspec.Struct, frozen=True, tag=True):
    """What earlier boots of the shadow process have spent on a rollout's copies and on its judge: ceilings hold over restarts."""

    rollout: str
    tokens: float
    cost: float
    judge_tokens: int
    judge_cost: float


class PairsRequest(msgspec.Struct, frozen=True, tag=True):
    """Asks the shadow process for its latest pairs."""

    id: int
    limit: int
    rollout: str | None


class PairsReply(msgspec.Struct, frozen=True, tag=True):
    """``pairs`` is a JSON array."""

    id: int
    pairs: bytes


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """Tells a gateway worker to go by another configuration (JSON), and where its shadow process listens."""

    config: bytes
    handover: str


class Adopted(msgspec.Struct, frozen=True, tag=True):
    """The worker's answer; ``problem`` is empty where it did."""

    problem: str


class SetMirroring(msgspec.Struct, frozen=True, tag=True):
    """The kill switch, for a gateway worker."""

    is_on: bool


Message = Spent | SetMirroring | Adopt | Adopted | Hello | Report | Ready | Reference | PairsRequest | PairsReply


class Channel:
    """One end of a control connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Message)

    def send(self, message: Message) -> None:
        """Queue a message. Messages are small and bounded in number by their senders' timers. A line that is closing takes nothing: what
        matters is said again on the next one."""
        if self._writer.is_closing():
            return
        payload = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(payload)) + payload)

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone. Raises :class:`FrameError` on bytes out of step."""
        try:
            (size,) = _LENGTH.unpack(await self._reader.readexactly(4))
            if size > _MAX_BYTES:
                raise FrameError(f"a control message announces {size} bytes; the bound is {_MAX_BYTES}")
            payload = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            message: Message = self._decoder.decode(payload)
        except msgspec.DecodeError as exc:
            raise FrameError(f"a control message does not decode: {exc}") from exc
        return message

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError as exc:
            _log.debug("control channel closed by the other end first: %s", exc)


async def connect(path: Path) -> Channel:
    """The child's end."""
    return Channel(*await asyncio.open_unix_connection(str(path)))


async def listen(path: Path, serve: Callable[[Channel], Awaitable[None]]) -> asyncio.AbstractServer:
    """The supervisor's end: ``serve`` runs once per child connection."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        try:
            await serve(channel)
        except FrameError as exc:
            _log.error("control connection dropped: %s", exc)
        finally:
            await channel.close()

    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(accept, str(path))


class Listening:
    """A Unix socket that stays reachable: cleaners of temporary folders delete files that nobody has touched for days, and whoever
    connects later would find nobody."""

    def __init__(self, path: Path, listen: Callable[[], Awaitable[asyncio.AbstractServer]]) -> None:
        self._path = path
        self._listen = listen
        self._server: asyncio.AbstractServer | None = None
        self._is_closed = False
        self._told = ""

    async def start(self) -> None:
        """Listen. Raises :class:`OSError`."""
        self._server = await self._listen()

    async def look(self) -> None:
        """Listen, again where the file or its folder is gone. Connections that are open stay. Called now and then; never raises."""
        old = self._server
        if not self._is_wanted() or (old is not None and self._path.exists()):
            return
        if old is not None:
            _log.warning("%s was deleted; listening anew", self._path)
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            if self._path.parent.stat().st_uid != os.geteuid():
                raise PermissionError(f"{self._path.parent} belongs to somebody else")
            self._server = await self._listen()
        except OSError as exc:
            self._tell(exc)
            return
        self._told = ""
        if old is not None:
            old.close()
        if not self._is_wanted():  # any more: it was closed meanwhile
            self._server.close()

    def _is_wanted(self) -> bool:
        return not self._is_closed

    def _tell(self, problem: OSError) -> None:
        if str(problem) != self._told:
            self._told = str(problem)
            _log.error("cannot listen on %s: %s; trying again", self._path, problem.strerror or problem)

    def close(self) -> None:
        """Listen no more; what is deleted from now on stays deleted."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
