"""Request and reply heads as they leave the gateway: hop-by-hop fields out, framing ours, everything else as it came."""

from __future__ import annotations

import re

import orjson

from shadowproxy.errors import ClientProtocolError
from shadowproxy.upstream.connection import Framing, ReplyHead

HeaderList = list[tuple[bytes, bytes]]

#: RFC 9110 §7.6.1, and Keep-Alive and Proxy-Connection from practice. Trailer goes with the trailers, which are not passed on.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}
)

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

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestHead:
    """A client's request line and headers, checked: what the rest of the gateway may rely on."""

    __slots__ = (
        "content_length",
        "expects_continue",
        "has_body",
        "headers",
        "is_chunked",
        "is_keepalive",
        "method",
        "target",
        "upgrades_to",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, headers: HeaderList, version: str, is_keepalive: bool) -> None:
        self.method = method
        self.target, authority = _origin_form(target)
        if authority is not None:
            headers = [(name, authority if name.lower() == b"host" else value) for name, value in headers]
        self.headers = headers
        self.version = version
        self.is_keepalive = is_keepalive
        self.content_length: int | None = None
        self.is_chunked = False
        self.expects_continue = False
        self.upgrades_to = b""
        hosts = 0
        for name, value in headers:
            size = len(name)
            # Lengths first: lowering every name would cost more than everything else here.
            if size == 4 and name.lower() == b"host":
                hosts += 1
                if _NOT_A_HOST.search(value):
                    raise ClientProtocolError("the Host header is not a host and port")
            elif size == 14 and name.lower() == b"content-length":
                self.content_length = int(value)
            elif size == 17 and name.lower() == b"transfer-encoding":
                if value.strip().lower() != b"chunked":
                    raise ClientProtocolError(f"the transfer coding {value[:40].decode('latin-1')!r} is not supported; use chunked", 501)
                if version != "1.1":
                    raise ClientProtocolError("Transfer-Encoding needs HTTP/1.1")
                self.is_chunked = True
            elif size == 6 and name.lower() == b"expect" and value.strip().lower() == b"100-continue":
                self.expects_continue = version == "1.1"
            elif size == 7 and name.lower() == b"upgrade":
                self.upgrades_to = value.strip().lower()
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ClientProtocolError("a request needs exactly one Host header")
        self.has_body = self.is_chunked or bool(self.content_length)

    def passed_on(self) -> HeaderList:
        """The headers without the hop-by-hop ones: what belongs to the request rather than to this connection."""
        dropped = _dropped(self.headers)
        return [(name, value) for name, value in self.headers if name.lower() not in dropped]

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method.decode()} {self.path.decode('latin-1')}>"  # the query may carry a key


def _origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """``http://host/path`` → ``/path`` and ``host``; a path stays as it is. RFC 9112 §3.2.2: the authority in the target replaces Host."""
    if target.startswith(b"/") or target == b"*":
        return target, None
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise ClientProtocolError("the request target is neither a path nor an http URL")
    split = _AUTHORITY_END.search(rest)
    authority, path = (rest[: split.start()], rest[split.start() :]) if split else (rest, b"")
    if not authority or b"@" in authority:
        raise ClientProtocolError("the request target has no plain host")
    return path if path.startswith(b"/") else b"/" + path, authority


def _dropped(headers: HeaderList) -> frozenset[bytes]:
    """Lower-case names that stay behind: hop-by-hop, and what Connection names."""
    named: set[bytes] | None = None
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            tokens = {token.strip().lower() for token in value.split(b",")}
            tokens -= {b"close", b"keep-alive", b""}
            if tokens:
                named = tokens if named is None else named | tokens
    # Connection may not name what frames or routes the message: that is how a smuggler makes a proxy drop Content-Length.
    return HOP_BY_HOP if named is None else HOP_BY_HOP | (named - {b"host", b"content-length"})


def request_bytes(head: RequestHead, path_prefix: bytes, authority: bytes | None) -> bytes:
    """The head to send upstream. ``authority`` replaces Host where it is given."""
    dropped = _dropped(head.headers)
    lines = [b"%b %b%b HTTP/1.1\r\n" % (head.method, path_prefix, head.target)]
    has_host = False
    for name, value in head.headers:
        key = name.lower()
        if key in dropped or key == b"expect":
            continue
        if key == b"host":
            has_host = True
            if authority is not None:
                value = authority  # noqa: PLW2901 - the line is rebuilt from the pair
        lines.append(b"%b: %b\r\n" % (name, value))
    if not has_host:
        lines.append(b"host: %b\r\n" % (authority or b"localhost"))
    lines.append(b"transfer-encoding: chunked\r\n\r\n" if head.is_chunked else b"\r\n")
    return b"".join(lines)


def reply_bytes(head: ReplyHead, *, chunked: bool, close: bool, keepalive_1_0: bool) -> bytes:
    """The head to send to the client. ``chunked`` and ``close`` are how the body will be framed."""
    dropped = _dropped(head.headers)
    lines = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason)]
    drop_length = chunked and head.framing is not Framing.NONE
    for name, value in head.headers:
        key = name.lower()
        if key in dropped or (drop_length and key == b"content-length"):
            continue
        lines.append(b"%b: %b\r\n" % (name, value))
    if chunked and head.framing is not Framing.NONE:
        lines.append(b"transfer-encoding: chunked\r\n")
    if close:
        lines.append(b"connection: close\r\n")
    elif keepalive_1_0:
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


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
