"""Request and reply heads as they leave the gateway: hop-by-hop fields out, framing ours, everything else as it came."""

from __future__ import annotations

import re

import orjson

from shadowproxy.errors import ClientProtocolError
from shadowproxy.upstream.connection import Framing, ReplyHead
from shadowproxy.wire.fields import (
    ARM,
    ATTEMPT_COUNT,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FIELDS,
    HOST,
    PLAIN,
    REQUEST_ID,
    TRANSFER_ENCODING,
    UPGRADE,
    named_by_connection,
)
from shadowproxy.wire.mesh import is_mirrored_host

HeaderList = list[tuple[bytes, bytes]]

REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}

#: RFC 9110 §7.2 allows host and port; these in particular would let one Host read as two.
_NOT_A_HOST = re.compile(rb"[\s,@/\\?#]")
_AUTHORITY_END = re.compile(rb"[/?]")

#: Shared by every head whose Connection names nothing; never changed.
_NOTHING: set[bytes] = set()

_OK_LINE = b"HTTP/1.1 200 OK"

#: Clients use a handful of hosts; one that makes up new ones must not fill memory.
_HOSTS_REMEMBERED = 1024


class _Hosts(dict[bytes, bool]):
    """Host header → whether another mirror marked it. Raises :class:`ClientProtocolError` for what is no host, and remembers only hosts."""

    def __missing__(self, value: bytes) -> bool:
        if _NOT_A_HOST.search(value):
            raise ClientProtocolError("the Host header is not a host and port")
        if len(self) >= _HOSTS_REMEMBERED:
            self.clear()
        self[value] = is_mirrored_host(value)
        return self[value]


_HOSTS: dict[bytes, bool] = _Hosts()

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestHead:
    """A client's request line and headers, checked: what the rest of the gateway may rely on.

    ``request_id`` is the client's, or empty. ``is_copy`` marks what another mirror sent, ``is_retry`` what a mesh sends again.
    """

    __slots__ = (
        "_dropped",
        "content_length",
        "expects_continue",
        "has_body",
        "headers",
        "is_chunked",
        "is_copy",
        "is_keepalive",
        "is_retry",
        "method",
        "request_id",
        "target",
        "upgrades_to",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, headers: HeaderList, version: str, is_keepalive: bool) -> None:
        authority: bytes | None = None
        if target[:1] != b"/":
            target, authority = _origin_form(target)
        if authority is not None:
            headers = [(name, authority if name.lower() == b"host" else value) for name, value in headers]
        self.method = method
        self.target = target
        self.headers = headers
        self.version = version
        self.is_keepalive = is_keepalive
        self.content_length = 0
        self.is_chunked = False
        self.expects_continue = False
        self.upgrades_to = b""
        self.request_id = b""
        self.is_copy = False
        self.is_retry = False
        self._dropped: set[bytes] = _NOTHING
        hosts = 0
        for name, value in headers:
            role = FIELDS[name].role
            if role == PLAIN:
                continue
            if role == HOST:
                hosts += 1
                if _HOSTS[value]:
                    self.is_copy = True
            elif role == CONTENT_LENGTH:
                self.content_length = int(value)
            elif role == REQUEST_ID:
                self.request_id = value
            else:
                self._take(role, value)
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ClientProtocolError("a request needs exactly one Host header")
        self.has_body = self.is_chunked or self.content_length > 0

    def _take(self, role: int, value: bytes) -> None:
        """One of the rarer headers that say something about the request itself."""
        if role == CONNECTION:
            self._dropped = self._dropped | named_by_connection(value)
        elif role == TRANSFER_ENCODING:
            if value.strip().lower() != b"chunked":
                raise ClientProtocolError(f"the transfer coding {value[:40].decode('latin-1')!r} is not supported; use chunked", 501)
            if self.version != "1.1":
                raise ClientProtocolError("Transfer-Encoding needs HTTP/1.1")
            self.is_chunked = True
        elif role == EXPECT:
            self.expects_continue = self.version == "1.1" and value.strip().lower() == b"100-continue"
        elif role == UPGRADE:
            self.upgrades_to = value.strip().lower()
        elif role == ARM:
            self.is_copy = True
        elif role == ATTEMPT_COUNT:
            self.is_retry = value.strip() not in (b"", b"1")

    def kept(self) -> HeaderList:
        """The headers that belong to the request rather than to this connection: lower-case, no credentials."""
        dropped = self._dropped
        out = []
        for name, value in self.headers:
            known = FIELDS[name]
            if not (known.is_hop_by_hop or known.is_secret or (dropped and known.name in dropped)):
                out.append((known.name, value))
        return out

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def sent_to(self, path_prefix: bytes, authority: bytes | None) -> bytes:
        """The head to send upstream. ``authority`` replaces Host where it is given."""
        dropped = self._dropped
        lines = [b"".join((self.method, b" ", path_prefix, self.target, b" HTTP/1.1"))]
        has_host = False
        for name, value in self.headers:
            known = FIELDS[name]
            if known.role != PLAIN:
                if known.is_hop_by_hop or known.role == EXPECT:
                    continue
                if known.role == HOST:
                    has_host = True
                    if authority is not None:
                        value = authority  # noqa: PLW2901 - the line is rebuilt from the pair
            if dropped and known.name in dropped:
                continue
            lines.append(b": ".join((name, value)))
        if not has_host:
            lines.append(b"host: %b" % (authority or b"localhost"))
        if self.is_chunked:
            lines.append(b"transfer-encoding: chunked")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def __repr__(self) -> str:
        return f"<RequestHead {self.method.decode()} {self.path.decode('latin-1')}>"  # the query may carry a key


def _origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """``http://host/path`` → ``/path`` and ``host``; a path stays as it is. RFC 9112 §3.2.2: the authority in the target replaces Host."""
    if target == b"*":
        return target, None
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise ClientProtocolError("the request target is neither a path nor an http URL")
    split = _AUTHORITY_END.search(rest)
    authority, path = (rest[: split.start()], rest[split.start() :]) if split else (rest, b"")
    if not authority or b"@" in authority:
        raise ClientProtocolError("the request target has no plain host")
    return path if path.startswith(b"/") else b"/" + path, authority


def reply_bytes(head: ReplyHead, *, chunked: bool, close: bool, keepalive_1_0: bool) -> bytes:
    """The head to send to the client. ``chunked`` and ``close`` are how the body will be framed."""
    dropped = _NOTHING
    for name, value in head.headers:
        if FIELDS[name].role == CONNECTION:
            dropped = dropped | named_by_connection(value)
    lines = [_OK_LINE if head.status == 200 and head.reason == b"OK" else b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    drops_length = chunked and head.framing is not Framing.NONE
    for name, value in head.headers:
        known = FIELDS[name]
        if known.role != PLAIN and (known.is_hop_by_hop or (drops_length and known.role == CONTENT_LENGTH)):
            continue
        if dropped and known.name in dropped:
            continue
        lines.append(b": ".join((name, value)))
    if drops_length:
        lines.append(b"transfer-encoding: chunked")
    if close:
        lines.append(b"connection: close")
    elif keepalive_1_0:
        lines.append(b"connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def error_bytes(status: int, code: str, message: str, *, close: bool, without_body: bool = False) -> bytes:
    """A whole reply of our own, in the shape OpenAI clients read: ``{"error": {message, type, code}}``."""
    body = orjson.dumps({"error": {"message": message, "type": "shadowproxy_error", "code": code}})
    head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n" % (
        status,
        REASONS.get(status, b"Error"),
        len(body),
        b"connection: close\r\n" if close else b"",
    )
    return head if without_body else head + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
