"""A request as an arm gets it: marked, without the client's credentials, with the arm's own model and headers. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from shadowproxy.errors import ProtocolError
from shadowproxy.exchange import ARM_HEADER, Headers, Request
from shadowproxy.wire.fields import FIELDS
from shadowproxy.wire.mesh import traced_as_copy

#: Framing and connection fields are written anew; a copy is asked for without compression because it is read, not passed on.
_REWRITTEN = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


#: RFC 9110 §5.6.2 (token) and §5.5 (field value), RFC 9112 §3.2 (target); bytes above ASCII are passed on as they came.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_TARGET = re.compile(rb"[!-~\x80-\xff]+")


class ArmRewrite:
    """What changes on the way to one arm. Header names are lower case. ``auth`` is the arm's own credential."""

    __slots__ = ("arm", "dropped", "model", "own_lines", "parameters", "path_prefix", "system")

    def __init__(
        self,
        arm: str,
        authority: bytes,
        path_prefix: bytes,
        *,
        model: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        system: str = "",
        set_headers: Headers = (),
        remove_headers: frozenset[bytes] = frozenset(),
        auth: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.arm = arm
        self.path_prefix = path_prefix
        self.model = model
        self.parameters: Mapping[str, Any] = parameters or {}
        self.system = system
        self.dropped = _REWRITTEN | remove_headers | {name for name, _ in set_headers}
        own = ((b"host", authority), *set_headers, (ARM_HEADER.encode(), arm.encode()), *((auth,) if auth else ()))
        self.own_lines = [b"%b: %b" % line for line in own]

    def __repr__(self) -> str:
        return f"<ArmRewrite {self.arm}>"  # own_lines may carry the arm's credential


def copy_of(request: Request, rewrite: ArmRewrite, span_id: bytes) -> bytes:
    """The whole HTTP/1.1 request for the arm, ready to write. ``span_id``: 16 hex digits, the copy's own in a traced request.

    Raises :class:`ProtocolError` where a value would end its line: what came over a wire cannot hold that, a file can (:func:`is_http`).
    """
    body = _body(request, rewrite)
    lines = [b"%b %b%b HTTP/1.1" % (request.method.encode(), rewrite.path_prefix, request.target.encode("latin-1")), *rewrite.own_lines]
    dropped = rewrite.dropped
    for name, value in traced_as_copy(request.headers, rewrite.arm, span_id):
        if name not in dropped and not FIELDS[name].is_secret:
            lines.append(b": ".join((name, value)))
    lines.append(b"accept-encoding: identity")
    lines.append(b"content-length: %d" % len(body))
    said = b"".join(lines)  # one look at all of it takes a microsecond, one at each value several
    if b"\n" in said or b"\r" in said or b"\0" in said:
        raise ProtocolError("a line break or NUL stands in its target, its method or a header")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def is_http(request: Request) -> bool:
    """Whether method, target and headers are what HTTP takes for such. For requests that come out of a file."""
    try:
        method, target = request.method.encode("ascii"), request.target.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return (
        _TOKEN.fullmatch(method) is not None
        and _TARGET.fullmatch(target) is not None
        and all(_TOKEN.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None for name, value in request.headers)
    )


def _body(request: Request, rewrite: ArmRewrite) -> bytes:
    """The body as the arm is to be asked, and without side effects. Untouched, byte for byte, where nothing changes."""
    path = request.target.partition("?")[0].rstrip("/")
    stores_by_default = path.endswith("/responses")
    is_asked_otherwise = rewrite.model is not None or rewrite.parameters or rewrite.system
    if not is_asked_otherwise and not stores_by_default and b'"store"' not in request.body and b"\\u" not in request.body:
        return request.body
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return request.body
    if not isinstance(value, dict):
        return request.body
    if rewrite.model is not None and "model" in value:
        value["model"] = rewrite.model
    for name, setting in rewrite.parameters.items():
        if setting is None:
            value.pop(name, None)
        else:
            value[name] = setting
    if rewrite.system:
        _instruct(value, rewrite.system, path)
    if value.get("store", stores_by_default):
        value["store"] = False
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return request.body  # nested deeper than the encoder goes; admission has refused it where that matters


#: Roles of messages that instruct the model instead of asking it.
_INSTRUCTING = ("system", "developer")


def _instruct(value: dict[str, Any], system: str, path: str) -> None:
    """Put another system prompt where the request's protocol has it: in place of its own, or before the conversation."""
    if path.endswith("/responses"):
        value["instructions"] = system
    elif path.endswith("/v1/messages"):
        value["system"] = system
    elif isinstance(messages := value.get("messages"), list):
        kept = [each for each in messages if not (isinstance(each, dict) and each.get("role") in _INSTRUCTING)]
        value["messages"] = [{"role": "system", "content": system}, *kept]
