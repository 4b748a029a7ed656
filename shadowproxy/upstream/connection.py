"""One HTTP/1.1 connection to an upstream, owned by one exchange at a time.

It frames replies with llhttp and tells its receiver, once per read from the socket, what that read brought. It keeps no timers: the
pool's sweep looks at ``phase`` and ``since``.
"""

from __future__ import annotations

import asyncio
import select
import time
from abc import ABC, abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

import httptools
from mypy_extensions import mypyc_attr

from shadowproxy.errors import UpstreamProtocolError
from shadowproxy.exchange import Outcome
from shadowproxy.wire.fields import CONTENT_LENGTH, FIELDS, PLAIN, TRANSFER_ENCODING

if TYPE_CHECKING:
    from shadowproxy.upstream.pool import Pool


#: A connection idle for less is used as it is: asking the kernel costs a tenth of a proxied request. What the upstream closed before the
#: loop's present turn has been told anyway, and one that closes after each reply shows itself at once (see the pool's distrust).
_FRESH_S = 0.01


#: What the loop reads at once.
LARGEST_READ: Final = 256 * 1024


class Framing(IntEnum):
    """How a reply's body ends."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3


class Phase(IntEnum):
    """What the connection waits for; each has its own deadline in the pool's sweep."""

    IDLE = 0
    SENDING = 1
    FIRST_BYTE = 2
    REPLY = 3
    CLOSED = 4


# Looking a member up in its enumeration costs as much as a header; these are compared several times per read.
_NONE: Final = Framing.NONE
_IDLE: Final = Phase.IDLE
_SENDING: Final = Phase.SENDING
_REPLY: Final = Phase.REPLY


class ReplyHead:
    """Status line and headers of a reply, names as sent."""

    __slots__ = ("framing", "headers", "reason", "status")

    def __init__(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]], framing: Framing) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.framing = framing

    def __repr__(self) -> str:
        return f"<ReplyHead {self.status} {self.framing.name.lower()}>"


@mypyc_attr(allow_interpreted_subclasses=True)
class Receiver(ABC):
    """Who waits for a reply. Called from the connection's read callback: nothing here may block."""

    __slots__ = ()

    @abstractmethod
    def connected(self, connection: Connection) -> None:
        """A connection is there: send the request now."""

    @abstractmethod
    def reply_read(self, at: float, head: ReplyHead | None, body: bytes, is_done: bool) -> None:
        """One read brought this: the head (once, first), body bytes without transfer coding, the end."""

    @abstractmethod
    def reply_failed(self, outcome: Outcome, message: str) -> None:
        """There will be no (more of a) reply. The connection is gone."""

    def upstream_full(self) -> None:  # noqa: B027 - optional: for who does not write a request at once
        """The send buffer is full: offer no more of the request body."""

    def upstream_drained(self) -> None:  # noqa: B027 - as above
        """The send buffer has room again."""


class Connection:
    """An :class:`asyncio.Protocol`, though not by inheritance: a class below an interpreted one cannot be compiled.

    States: idle in the pool → first byte awaited → reply → idle again, or closed."""

    __slots__ = (
        "_barren_bytes",
        "_framing",
        "_head",
        "_head_bytes",
        "_headers",
        "_is_done",
        "_keeps_alive",
        "_must_close",
        "_parser",
        "_pieces",
        "_poll",
        "_pool",
        "_reason",
        "_skips_body",
        "_status",
        "is_full",
        "is_paused",
        "is_sent",
        "phase",
        "receiver",
        "since",
        "transport",
        "was_reused",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self.receiver: Receiver | None = None
        self.phase = Phase.IDLE
        self.since = time.monotonic()
        self.was_reused = False
        self.is_full = False
        self.is_paused = False
        self.is_sent = False
        self._skips_body = False
        self._reset_reply()

    def __repr__(self) -> str:
        return f"<Connection to {self._pool.endpoint} {self.phase.name.lower()}>"

    def _reset_reply(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._status = 0
        self._head: ReplyHead | None = None
        self._framing: Framing | None = None
        self._pieces: list[bytes] = []
        self._is_done = False
        self._must_close = False
        self._keeps_alive = False
        self._head_bytes = 0
        self._barren_bytes = 0

    def is_stale(self, now: float) -> bool:
        """True where the upstream has closed this idle connection, or sent something nobody asked for, and the loop has not told us yet.

        Some servers close right after a reply they announced to keep alive; asking the kernel closes most of that race.
        """
        assert self.transport is not None
        if self.transport.is_closing():
            return True
        return now - self.since > _FRESH_S and bool(self._poll.poll(0))

    # --- used by the owner ------------------------------------------------------------------------------------------

    def begin(self, receiver: Receiver, is_head_request: bool, now: float) -> None:
        """Take ownership for one exchange."""
        self.receiver = receiver
        self._skips_body = is_head_request
        self.is_sent = False
        self.phase = _SENDING
        self.since = now

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def request_sent(self, now: float) -> None:
        """The whole request is out: the wait for the first reply byte begins."""
        self.is_sent = True
        if self.phase is _SENDING:
            self.phase = Phase.FIRST_BYTE
            self.since = now

    def pause_reading(self) -> None:
        """Hold the reply back while its reader is slow. Its silence is then ours, so no deadline runs."""
        if not self.is_paused and self.transport is not None and not self.transport.is_closing():
            self.is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.is_paused and self.transport is not None and not self.transport.is_closing():
            self.is_paused = False
            self.since = time.monotonic()
            self.transport.resume_reading()

    def abandon(self) -> None:
        """The owner no longer wants the reply. The connection is closed: what is still coming belongs to nobody."""
        self.receiver = None
        self._close()

    def fail(self, outcome: Outcome, message: str) -> None:
        """Close, and tell the owner why."""
        receiver, self.receiver = self.receiver, None
        self._close()
        if receiver is not None:
            receiver.reply_failed(outcome, message)

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass
        sock = transport.get_extra_info("socket")
        # With TLS, readable may just mean session tickets: only the other end's FIN counts.
        self._poll.register(sock.fileno(), select.POLLRDHUP if self._pool.endpoint.tls else select.POLLIN | select.POLLRDHUP)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self._close()  # an idle connection has nothing to say; a 408 before closing is the usual case
            return
        now = time.monotonic()
        self.since = now
        if self._framing is None:
            self._head_bytes += len(data)
        else:
            self._barren_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(Outcome.PROTOCOL_ERROR, "switched protocols without being asked")
            return
        except (httptools.HttpParserError, UpstreamProtocolError) as exc:
            if not self._is_done:
                self.fail(Outcome.PROTOCOL_ERROR, _sentence(exc))
                return
            self._must_close = True  # bytes behind a complete reply: the reply stands, the connection does not
        if self._framing is None:
            if self._head_bytes > self._pool.max_header_bytes:
                self.fail(Outcome.PROTOCOL_ERROR, f"sent a reply head of more than {self._pool.max_header_bytes} bytes")
            return
        if self._barren_bytes > self._pool.max_header_bytes + LARGEST_READ and not self._is_done:
            self.fail(Outcome.PROTOCOL_ERROR, "sends trailers or chunk extensions that do not end")
            return
        self.phase = _REPLY
        self._deliver(receiver, now)

    def _deliver(self, receiver: Receiver, now: float) -> None:
        head, self._head = self._head, None
        pieces = self._pieces
        if not pieces:
            body = b""
        else:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
        if self._is_done:
            self._release()
            receiver.reply_read(now, head, body, True)
        elif head is not None or body:
            receiver.reply_read(now, head, body, False)

    def _release(self) -> None:
        """The reply is complete: back to the pool, or closed where the upstream or the framing wants that."""
        self.receiver = None
        self.resume_reading()
        # An early reply leaves a half-sent request behind: that connection cannot carry another.
        reusable = self.is_sent and not self._must_close and self.transport is not None and not self.transport.get_write_buffer_size()
        if self._skips_body:
            # llhttp cannot be told that a HEAD reply has no body; a fresh parser does not wait for one.
            reusable = reusable and self._parser.get_http_version() == "1.1" and not _says_close(self._headers)
            self._parser = httptools.HttpResponseParser(self)
        else:
            reusable = reusable and self._keeps_alive
        self._reset_reply()
        if reusable:
            self.phase = _IDLE
            self._pool.put_back(self)
        else:
            self._close()

    def eof_received(self) -> bool:
        if self.receiver is not None and self._framing is Framing.CLOSE:
            self._must_close = True
            self._is_done = True
            self._deliver(self.receiver, time.monotonic())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = Phase.CLOSED
        self._pool.forget(self)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            if self._framing is not None:
                what = "closed the connection in the middle of its reply"
            elif self._head_bytes:
                what = "closed the connection in the middle of its reply head"
            else:
                what = "closed the connection without a reply"
            receiver.reply_failed(Outcome.RESET, what)

    def pause_writing(self) -> None:
        self.is_full = True
        self.since = time.monotonic()
        if self.receiver is not None:
            self.receiver.upstream_full()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.receiver is not None:
            self.receiver.upstream_drained()

    def _close(self) -> None:
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._pool.forget(self)
            if self.transport is not None:
                self.transport.abort()

    # --- llhttp -----------------------------------------------------------------------------------------------------

    def on_status(self, reason: bytes) -> None:
        if self._framing is not None:
            raise UpstreamProtocolError("sent more than one reply")
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._framing is None:
            self._headers.append((name, value))  # trailers are not passed on

    def on_headers_complete(self) -> None:
        if self._framing is not None:
            raise UpstreamProtocolError("sent more than one reply")
        status = self._parser.get_status_code()
        self._status = status
        if status == 101:
            raise UpstreamProtocolError("switched protocols without being asked")
        if status < 200:
            return  # interim: on_message_complete drops it
        framing = self._framing_of(status)
        self._framing = framing
        self._keeps_alive = self._parser.should_keep_alive()  # llhttp forgets it when the message is complete
        self._head = ReplyHead(status, self._reason, self._headers, framing)
        if framing is _NONE:
            self._is_done = True
            # A HEAD, 204 or 304 reply may announce a length that never comes, for which llhttp would wait.
            self._skips_body = True

    def _framing_of(self, status: int) -> Framing:
        if self._skips_body or status in (204, 304):
            return Framing.NONE
        framing = Framing.CLOSE
        for name, value in self._headers:
            role = FIELDS[name].role
            if role == PLAIN:
                continue
            if role == TRANSFER_ENCODING:
                if value.strip().lower() != b"chunked":
                    raise UpstreamProtocolError(f"uses the transfer coding {value[:40]!r}; only chunked is spoken")
                return Framing.CHUNKED
            if role == CONTENT_LENGTH:
                framing = Framing.LENGTH
        return framing

    def on_body(self, piece: bytes) -> None:
        if self._is_done:
            self._must_close = True  # a body where there can be none
        else:
            self._pieces.append(piece)
            self._barren_bytes = 0

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers = []
            self._reason = b""
            self._head_bytes = 0
        elif self._is_done and not self._skips_body:
            raise UpstreamProtocolError("sent more than one reply")
        else:
            self._is_done = True


def _says_close(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers)


def _sentence(exc: Exception) -> str:
    text = str(exc)
    cause = exc.__context__
    if isinstance(exc, httptools.HttpParserCallbackError) and cause is not None:
        return str(cause)
    return f"sent bytes that are not HTTP ({text.lower()})"
