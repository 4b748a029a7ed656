"""One client request on its way: to the primary, back to the client, and into the tee.

A :class:`Forward` is the receiver of the upstream connection's reply. It is created when a request head is complete and ends when the
reply is complete and the request has been read, or when either side is gone.
"""

from __future__ import annotations

import asyncio
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from shadowproxy.exchange import Outcome
from shadowproxy.gateway.heads import LAST_CHUNK, RequestHead, chunk, error_bytes, reply_bytes
from shadowproxy.upstream.connection import Connection, Framing, Receiver, ReplyHead

if TYPE_CHECKING:
    from shadowproxy.gateway.listener import ClientConnection
    from shadowproxy.gateway.tee import Tee

#: Request bytes kept for an upstream that is still connecting or slow to read, before the client is held back.
_UNSENT_BOUND = 256 * 1024

#: RFC 9110 §9.2.2: only these may be sent a second time without knowing what became of the first.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


class ReplyState(IntEnum):
    """How far the reply to the client is."""

    NONE = 0
    STARTED = 1
    DONE = 2


# Looking a member up in its enumeration is slow, and each of these is used for every request.
_NONE: Final = ReplyState.NONE
_STARTED: Final = ReplyState.STARTED
_DONE: Final = ReplyState.DONE
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE
_OK: Final = Outcome.OK


class Forward(Receiver):
    """States: waiting for a connection → sending → reply started → done; or failed, or abandoned."""

    __slots__ = (
        "_chunked_out",
        "_client",
        "_connecting",
        "_is_over",
        "_may_retry",
        "_target",
        "_tee",
        "_unsent",
        "_unsent_bytes",
        "_upstream",
        "closes_client",
        "head",
        "is_request_complete",
        "reply",
        "route",
        "status",
    )

    def __init__(self, client: ClientConnection, head: RequestHead, route: str, tee: Tee | None) -> None:
        self._client = client
        self._target = client.gateway.target  # kept: a reload must not send this request's head to another primary
        self._tee = tee
        self._upstream: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._may_retry = not head.has_body and head.method in _IDEMPOTENT
        self._chunked_out = False
        self._is_over = False
        self.head = head
        self.route = route
        self.is_request_complete = False
        self.reply = _NONE
        self.status = 0
        self.closes_client = not head.is_keepalive

    def __repr__(self) -> str:
        return f"<Forward {self.head!r} reply {self.reply.name.lower()}>"

    @property
    def is_teed(self) -> bool:
        return self._tee is not None

    # --- from the client --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask the pool for a connection. The head is sent, with whatever body has arrived, when there is one."""
        self._connecting = self._target.pool.acquire(self, is_head_request=self.head.method == b"HEAD")

    def request_read(self, body: bytes, is_complete: bool) -> None:
        """One read from the client brought this much of the body. Called once per read, also with b"" for the end alone."""
        if body and self._tee is not None:
            self._tee.request_read(body)
        self.is_request_complete = is_complete
        now = time.monotonic() if is_complete else 0.0
        data = body
        if self.head.is_chunked:
            data = (chunk(body) if body else b"") + (LAST_CHUNK if is_complete else b"")
        upstream = self._upstream
        if upstream is None:
            if not self._is_over:
                self._unsent.append(data)
                self._unsent_bytes += len(data)
                if self._unsent_bytes > _UNSENT_BOUND:
                    self._client.hold_back()
            return
        if data:
            upstream.write(data)
        if is_complete:
            self._request_sent(upstream, now)

    def _request_sent(self, upstream: Connection, now: float) -> None:
        """``now`` is the moment before the last write: writing can take longer than a fast arm's answer."""
        upstream.request_sent(now)
        if self._tee is not None:
            self._tee.request_sent(now)

    def abandon(self) -> None:
        """The client is gone: cancel the primary call and pair nothing."""
        if self._is_over:
            return
        self._is_over = True
        self._drop_upstream()
        self._client.gateway.exchange_abandoned(self)

    def _drop_upstream(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._upstream is not None:
            upstream, self._upstream = self._upstream, None
            upstream.abandon()

    def client_full(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def client_drained(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    # --- Receiver: from the upstream --------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._connecting = None
        self._upstream = connection
        self._client.let_on()  # before the write, which may find the upstream's buffer full and hold the client back again
        head = self.head.sent_to(self._target.path_prefix, self._target.authority)
        unsent, self._unsent = self._unsent, []
        self._unsent_bytes = 0
        connection.write(head + b"".join(unsent) if unsent else head)
        if self.is_request_complete:
            self._request_sent(connection, connection.since)

    def upstream_full(self) -> None:
        self._client.hold_back()

    def upstream_drained(self) -> None:
        self._client.let_on()

    def reply_read(self, at: float, head: ReplyHead | None, body: bytes, is_done: bool) -> None:
        if self._tee is not None:
            self._tee.reply_read(at, head, body)
        data = body
        if head is not None:
            data = self._begin_reply(head, body)
        elif self._chunked_out and body:
            data = chunk(body)
        if is_done:
            self._upstream = None
            if self._chunked_out:
                data += LAST_CHUNK
        if data:
            self._client.send(data)
        self._client.gateway.bytes_out += len(body)
        if is_done:
            self._end(_OK, "")

    def _begin_reply(self, head: ReplyHead, body: bytes) -> bytes:
        speaks_1_1 = self.head.version == "1.1"
        self.reply = _STARTED
        self.status = head.status
        self._chunked_out = speaks_1_1 and head.framing in (_CHUNKED, _CLOSE)
        if not speaks_1_1 and head.framing in (_CHUNKED, _CLOSE):
            self.closes_client = True  # HTTP/1.0 knows no other end of a body of unknown length
        if not self.is_request_complete:
            self.closes_client = True  # an early reply: the rest of the request will not be read as one
        if self._client.is_draining:
            self.closes_client = True
        data = reply_bytes(
            head, chunked=self._chunked_out, close=self.closes_client, keepalive_1_0=not speaks_1_1 and not self.closes_client
        )
        if body:
            data += chunk(body) if self._chunked_out else body
        return data

    def reply_failed(self, outcome: Outcome, message: str) -> None:
        upstream, self._upstream = self._upstream, None
        self._connecting = None
        if self._is_over:
            return
        gateway = self._client.gateway
        if self.reply is _NONE and self._may_retry and outcome is Outcome.RESET and upstream is not None and upstream.was_reused:
            # The upstream closed an idle connection just as we used it. Once, on a fresh connection, and only because the method is
            # idempotent and carries no body: for anything else nobody knows whether it was already acted on.
            self._may_retry = False
            gateway.retried += 1
            self._connecting = self._target.pool.acquire(self, is_head_request=self.head.method == b"HEAD", fresh=True)
            return
        gateway.primary_failed(outcome)
        if self.reply is _NONE:
            self.status = 504 if outcome is Outcome.TIMEOUT else 502
            self.closes_client = self.closes_client or not self.is_request_complete or self._client.is_draining
            self._client.send(
                error_bytes(
                    self.status,
                    f"primary_{outcome.value}",
                    f"the primary {message}",
                    close=self.closes_client,
                    without_body=self.head.method == b"HEAD",
                )
            )
        else:
            self._client.cut_off()  # a reply that cannot be completed must not look complete
        self._end(outcome, message)

    def _end(self, outcome: Outcome, failure: str) -> None:
        self._is_over = True
        self.reply = _DONE
        self._client.gateway.exchange_finished(self, self._tee, outcome, failure)
        self._client.reply_done(self)
