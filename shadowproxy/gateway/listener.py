"""One client connection: requests cut out of the byte stream by llhttp, answered in their order.

A request whose predecessor is still being answered waits in ``_waiting`` while reading is paused, so pipelining costs at most one read's
worth of memory.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from shadowproxy.errors import ClientProtocolError
from shadowproxy.gateway.forward import Forward, ReplyState
from shadowproxy.gateway.heads import CONTINUE, RequestHead, error_bytes
from shadowproxy.upstream.connection import LARGEST_READ

if TYPE_CHECKING:
    from shadowproxy.gateway.gateway import Gateway

#: After an error reply the client may still be sending; closing at once would make its kernel throw our reply away (RFC 9112 §9.6).
_LINGER_S = 2.0

#: No configured bound on heads is lower, so what is shorter need not be compared with it.
_SMALL_HEAD_BYTES = 1024


class Incoming:
    """A request as the parser fills it."""

    __slots__ = ("body", "chunked_bytes", "forward", "head", "is_complete", "is_new_body")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.body: list[bytes] = []
        self.chunked_bytes = 0
        self.is_complete = False
        self.forward: Forward | None = None
        self.is_new_body = False


class ClientConnection:
    """An :class:`asyncio.Protocol`, though not by inheritance: a class below an interpreted one cannot be compiled.

    States: idle → a request arrives → it is forwarded → its reply is done → idle again; lingering before an unclean close."""

    __slots__ = (
        "_barren_bytes",
        "_current",
        "_has_half_closed",
        "_head_bytes",
        "_headers",
        "_held_back",
        "_in_head",
        "_is_full",
        "_is_resumed_head",
        "_lingers_until",
        "_parser",
        "_sends_copies",
        "_target",
        "_transport",
        "_waiting",
        "gateway",
        "is_draining",
        "since",
    )

    def __init__(self, gateway: Gateway, sends_copies: bool = False) -> None:
        """``sends_copies``: whatever comes over this connection is another mirror's copy."""
        self.gateway = gateway
        self._sends_copies = sends_copies
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._head_bytes = 0
        self._in_head = True
        self._is_resumed_head = False
        self._current: Incoming | None = None
        self._waiting: deque[Incoming] = deque()
        self._held_back = False
        self._is_full = False
        self._barren_bytes = 0
        self._lingers_until = 0.0
        self._has_half_closed = False
        self.is_draining = False
        self.since = gateway.now

    def __repr__(self) -> str:
        doing = repr(self._current.forward) if self._current else "idle"
        return f"<ClientConnection {doing}, {len(self._waiting)} waiting>"

    @property
    def is_idle(self) -> bool:
        """No request in progress, not even half a head."""
        return self._current is None and not self._waiting and self._head_bytes == 0

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass
        if not self.gateway.admit(self):
            self._refuse(503, "too_many_connections", "too many open connections", "connection_limit")

    def data_received(self, data: bytes) -> None:
        if self._lingers_until:
            return
        self.since = self.gateway.now
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._barren_bytes += len(data)
        try:
            self._feed(data)
        except ClientProtocolError as exc:
            self._refuse(exc.status, exc.code, str(exc), exc.reason)
            return
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            if isinstance(cause, ClientProtocolError):
                self._refuse(cause.status, cause.code, str(cause), cause.reason)
            else:
                self._refuse(400, "bad_request", f"the request is not valid HTTP/1.1: {str(exc).lower()}", "protocol")
            return
        if (self._head_bytes or self._barren_bytes) and self._is_too_long():
            return
        self._pass_on()

    def _is_too_long(self) -> bool:
        """Refuse a head, or trailers and extensions, that do not end."""
        limit = self.gateway.limits.max_header_bytes
        if self._in_head and self._head_bytes > limit:
            self._refuse(431, "headers_too_large", f"request line and headers are longer than {limit} bytes", "header_bytes")
            return True
        if self._barren_bytes > limit + LARGEST_READ:
            self._refuse(431, "headers_too_large", "trailers or chunk extensions are too long", "header_bytes")
            return True
        return False

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                self._go_on_without_upgrade()
                data = data[exc.args[0] :]
            else:
                return

    def _go_on_without_upgrade(self) -> None:
        """llhttp stops at an Upgrade header. We do not switch (RFC 9110 §7.8 lets a server ignore the offer), so the body of that
        request, if any, still is HTTP/1.1: a fresh parser is told its framing and goes on from there."""
        incoming = self._waiting[-1] if self._waiting else self._current
        assert incoming is not None
        head = incoming.head
        if head.method == b"CONNECT" or head.upgrades_to == b"websocket":
            if self._waiting:
                self._waiting.pop()
            what = "CONNECT" if head.method == b"CONNECT" else f"Upgrade: {head.upgrades_to[:40].decode('latin-1')}"
            raise ClientProtocolError(f"{what} is not supported; send plain HTTP/1.1 requests", 501)
        self._parser = httptools.HttpRequestParser(self)
        if head.has_body:
            incoming.is_complete = False
            self._is_resumed_head = True
            self._in_head = False
            framing = b"transfer-encoding: chunked" if head.is_chunked else b"content-length: %d" % head.content_length
            self._parser.feed_data(b"%b / HTTP/1.1\r\nhost: -\r\n%b\r\n\r\n" % (head.method, framing))

    def _pass_on(self) -> None:
        """Give what this read brought to the request it belongs to; hold the client back while requests wait in line."""
        current = self._current
        if current is not None and current.forward is not None and current.is_new_body:
            self._flush(current, current.forward)
        if self._current is None and self._waiting and not self._is_full:
            self._next()
        if self._waiting:
            self.hold_back()

    def _flush(self, incoming: Incoming, forward: Forward) -> None:
        body = incoming.body
        incoming.is_new_body = False
        if len(body) == 1:
            data = body[0]
        else:
            data = b"".join(body) if body else b""
        incoming.body = []
        self.gateway.bytes_in += len(data)
        if incoming.head.is_chunked:
            incoming.chunked_bytes += len(data)
            limit = self.gateway.limits.max_body_bytes
            if limit is not None and incoming.chunked_bytes > limit:
                self._refuse_body(forward, limit)
                return
        forward.request_read(data, incoming.is_complete)

    def _refuse_body(self, forward: Forward, limit: int) -> None:
        """A body of unknown length grew past the bound. The primary has seen a part of it: that call is cut off."""
        is_untouched = forward.reply is ReplyState.NONE
        self.gateway.bad_requests["body_bytes"] = self.gateway.bad_requests.get("body_bytes", 0) + 1
        forward.abandon()
        self._current = None
        self._waiting.clear()
        if is_untouched:
            self.send(error_bytes(413, "body_too_large", f"the request body is longer than {limit} bytes", close=True))
            self._linger()
        else:
            self.cut_off()

    def _next(self) -> None:
        incoming = self._waiting.popleft()
        self._current = incoming
        gateway = self.gateway
        limit = gateway.limits.max_body_bytes
        if limit is not None and incoming.head.content_length > limit:
            self._refuse(413, "body_too_large", f"the request body is longer than {limit} bytes", "body_bytes")
            return
        if incoming.head.expects_continue and not incoming.is_complete and not incoming.body:
            self.send(CONTINUE)
        forward = gateway.forward(self, incoming.head)
        incoming.forward = forward
        if incoming.body or incoming.is_complete:
            self._flush(incoming, forward)
        if self._current is incoming:  # else its body was refused
            forward.start()

    def eof_received(self) -> bool:
        """The client sent its FIN. Whether it still reads cannot be seen; an interim reply finds out: who is gone answers with a reset
        (which the sweep sees), who only half-closed must skip it (RFC 9110 §15.2)."""
        if self._current is None and not self._waiting:
            return False
        if self._transport is None or not self._transport.can_write_eof():
            return False  # TLS knows no half-closed connection
        current = self._current
        if current is not None and not current.is_complete:
            return False  # the rest of the request will never come
        self._has_half_closed = True
        forward = current.forward if current is not None else None
        if forward is not None and forward.reply is ReplyState.NONE and forward.head.version == "1.1":
            self.send(CONTINUE)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.dismiss(self)
        self._waiting.clear()
        current, self._current = self._current, None
        if current is not None and current.forward is not None:
            current.forward.abandon()
        self._transport = None

    def pause_writing(self) -> None:
        self._is_full = True
        self.since = self.gateway.now
        if self._current is not None and self._current.forward is not None:
            self._current.forward.client_full()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._current is not None:
            if self._current.forward is not None:
                self._current.forward.client_drained()
        elif self._waiting and not self._lingers_until:
            self._next()
            self.let_on()

    # --- used by Forward and Gateway --------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def hold_back(self) -> None:
        """Read no more from the client for now."""
        if not self._held_back and self._transport is not None and not self._transport.is_closing():
            self._held_back = True
            self._transport.pause_reading()

    def let_on(self) -> None:
        if self._held_back and not self._waiting and self._transport is not None and not self._transport.is_closing():
            self._held_back = False
            self._transport.resume_reading()

    def cut_off(self) -> None:
        """Close so that the client sees an incomplete reply."""
        if self._transport is not None:
            self._transport.abort()

    def reply_done(self, forward: Forward) -> None:
        """The reply is written. Go on with the next request, or close."""
        self.since = self.gateway.now
        incoming, self._current = self._current, None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if incoming is not None and not incoming.is_complete:
            self._linger()
        elif forward.closes_client or (self._has_half_closed and not self._waiting) or (self.is_draining and not self._waiting):
            transport.close()
        elif self._waiting:
            if not self._is_full:
                self._next()
                self.let_on()
        else:
            self.let_on()

    def drain(self) -> None:
        """Close when idle; else after the reply in progress."""
        self.is_draining = True
        if self.is_idle and self._transport is not None:
            self._transport.close()

    def sweep(self, now: float) -> None:
        """Close what lingers or idles too long."""
        if self._transport is None:
            return
        if self._lingers_until:
            if now > self._lingers_until and (
                not self._transport.get_write_buffer_size() or now > self._lingers_until + self.gateway.limits.client_idle_timeout_s
            ):
                self._transport.abort()
            return
        if self._has_half_closed and self._was_reset():
            self._transport.abort()
            return
        idle = now - self.since > self.gateway.limits.client_idle_timeout_s
        if not idle:
            return
        if self._is_full:
            self._transport.abort()  # it has read nothing for as long: neither it nor the primary is kept waiting for it
            return
        if self.is_idle:
            self._transport.close()
        elif self._current is None:
            self._refuse(408, "request_timeout", "the request head stopped arriving", "idle")
        elif not self._current.is_complete and not self._held_back and self._current.forward is not None:
            if self._current.forward.reply is ReplyState.NONE:
                self._current.forward.abandon()
                self._refuse(408, "request_timeout", "the request body stopped arriving", "idle")
            else:
                self._transport.abort()

    def _was_reset(self) -> bool:
        """After the client's FIN nobody reads from the socket, so a reset shows only here."""
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        return sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def _refuse(self, status: int, code: str, message: str, reason: str) -> None:
        """Answer for the gateway itself and close. Replies already promised to earlier requests come first or not at all."""
        self.gateway.bad_requests[reason] = self.gateway.bad_requests.get(reason, 0) + 1
        if self._current is None and self._waiting and self._waiting[0].is_complete:
            self._next()  # a good request in the same read as the garbage behind it
            if self._lingers_until:
                return  # which was itself refused
        current = self._current
        self._waiting.clear()
        if current is not None and current.forward is not None:
            reply = current.forward.reply
            if current.is_complete and reply is not ReplyState.DONE:
                # Garbage behind a good request: that one is still answered, then the connection closes.
                current.forward.closes_client = True
                self.hold_back()
                self._lingers_until = float("inf")
                return
            current.forward.abandon()
            if reply is not ReplyState.NONE:
                self.cut_off()
                return
        self._current = None
        self.send(error_bytes(status, code, message, close=True))
        self._linger()

    def _linger(self) -> None:
        """Send FIN, read and throw away for a moment, then close."""
        self._lingers_until = time.monotonic() + _LINGER_S
        self._held_back = False
        transport = self._transport
        if transport is None:
            return
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    # --- llhttp -----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if not self._is_resumed_head:
            self._headers = []
            self._target = b""
            self._in_head = True

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name, value))  # trailers are not passed on: nothing downstream may act on unchecked fields

    def on_headers_complete(self) -> None:
        if self._is_resumed_head:
            self._is_resumed_head = False
            return
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ClientProtocolError(f"HTTP/{version} is not spoken here; use HTTP/1.1", 505)
        if (
            self._head_bytes > _SMALL_HEAD_BYTES
            and self._head_bytes > self.gateway.limits.max_header_bytes
            and sum(len(name) + len(value) + 4 for name, value in self._headers) + len(self._target) > self.gateway.limits.max_header_bytes
        ):
            limit = self.gateway.limits.max_header_bytes
            message = f"request line and headers are longer than {limit} bytes"
            raise ClientProtocolError(message, 431, code="headers_too_large", reason="header_bytes")
        self._in_head = False
        self._head_bytes = 0
        head = RequestHead(self._parser.get_method(), self._target, self._headers, version, self._parser.should_keep_alive())
        head.is_copy = head.is_copy or self._sends_copies
        self._waiting.append(Incoming(head))

    def on_body(self, piece: bytes) -> None:
        incoming = self._newest()
        incoming.body.append(piece)
        self._barren_bytes = 0
        incoming.is_new_body = True

    def on_message_complete(self) -> None:
        incoming = self._newest()
        incoming.is_complete = True
        incoming.is_new_body = True
        self._barren_bytes = 0
        self._in_head = True
        self._head_bytes = 0

    def _newest(self) -> Incoming:
        incoming = self._waiting[-1] if self._waiting else self._current
        assert incoming is not None
        return incoming
