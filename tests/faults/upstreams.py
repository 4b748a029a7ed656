"""An echo server that can be told to misbehave from the next request on, also on connections that are open already."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from shadowproxy.testing.echo import EchoServer, echo
from shadowproxy.testing.faults import BEFORE_THE_BODY, Fault, Victim, play
from shadowproxy.testing.raw import RawRequest, read_body, read_head

Play = Callable[[Victim], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Trick:
    """A way to misbehave. ``before_body``: do not wait for the request's body. ``only_copies``: leave everybody else alone."""

    play: Play
    before_body: bool = False
    only_copies: bool = False


def sending(data: bytes) -> Trick:
    """These bytes, then the end of the connection."""

    async def send(victim: Victim) -> None:
        await victim.send(data)

    return Trick(send)


def named(fault: Fault) -> Trick:
    """One of the shipped faults."""
    return Trick(partial(play, fault), before_body=fault in BEFORE_THE_BODY)


class Upstream(EchoServer):
    """Echoes, unless :meth:`broken` says otherwise."""

    def __init__(self) -> None:
        super().__init__(lifetime_s=600)
        self._trick: Trick | None = None
        self.played = 0
        self.cancelled = asyncio.Event()
        """Set when a connection ends in the middle of a trick."""

    @contextlib.contextmanager
    def broken(self, trick: Trick | Fault) -> Iterator[None]:
        """Misbehave for the time of the block."""
        self._trick = named(trick) if isinstance(trick, Fault) else trick
        try:
            yield
        finally:
            self._trick = None

    @contextlib.asynccontextmanager
    async def refusing(self):
        """Refuse connections for the time of the block; those that are open are closed first."""
        assert self._server is not None
        self._server.close()
        self.close_connections()
        await self._server.wait_closed()
        try:
            yield
        finally:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=1024 * 1024)

    def close_connections(self) -> None:
        """Close all that are open, as a server that restarts does."""
        for writer in tuple(self._writers):
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_stale = False
        while (head := await read_head(reader)) is not None:
            if is_stale:
                return
            trick = self._trick_for(head)
            if trick is None or not trick.before_body:
                head = replace(head, body=await read_body(reader, head))
            self.requests += 1
            self.received.append(head)
            if trick is None:
                if await self._write(writer, echo(head)):
                    return
                continue
            self.played += 1
            try:
                await trick.play(Victim(reader, writer, endless_bytes=64 * 1024 * 1024, drip_interval_s=0.002))
            except ConnectionError:
                self.cancelled.set()
                raise
            if reader.at_eof() or reader.exception() is not None:
                self.cancelled.set()
            if trick is not STALE:
                return
            is_stale = True

    def _trick_for(self, head: RawRequest) -> Trick | None:
        if self._trick is None or (self._trick.only_copies and not head.header("x-shadowproxy-arm")):
            return None
        return self._trick


STALE = named(Fault.STALE)
