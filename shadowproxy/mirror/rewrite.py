"""A request as an arm gets it: marked, without the client's credentials, with the arm's own model and headers. PURE."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from shadowproxy.exchange import ARM_HEADER, Headers, Request, is_credential
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


@dataclass(frozen=True, slots=True)
class ArmRewrite:
    """What changes on the way to one arm. Header names are lower case. ``auth`` is the arm's own credential."""

    arm: str
    authority: bytes
    path_prefix: bytes
    model: str | None = None
    set_headers: Headers = ()
    remove_headers: frozenset[bytes] = frozenset()
    auth: tuple[bytes, bytes] | None = None


def copy_of(request: Request, rewrite: ArmRewrite, span_id: bytes) -> bytes:
    """The whole HTTP/1.1 request for the arm, ready to write. ``span_id``: 16 hex digits, the copy's own in a traced request."""
    body = _body(request, rewrite.model)
    replaced = {name for name, _ in rewrite.set_headers}
    head = [b"%b %b%b HTTP/1.1\r\n" % (request.method.encode(), rewrite.path_prefix, request.target.encode("latin-1"))]
    head.append(b"host: %b\r\n" % rewrite.authority)
    for name, value in traced_as_copy(request.headers, rewrite.arm, span_id):
        if name in _REWRITTEN or is_credential(name) or name in rewrite.remove_headers or name in replaced:
            continue
        head.append(b"%b: %b\r\n" % (name, value))
    own = (*rewrite.set_headers, (ARM_HEADER.encode(), rewrite.arm.encode()), *((rewrite.auth,) if rewrite.auth else ()))
    head.extend(b"%b: %b\r\n" % line for line in own)
    head.append(b"accept-encoding: identity\r\ncontent-length: %d\r\n\r\n" % len(body))
    return b"".join(head) + body


def _body(request: Request, model: str | None) -> bytes:
    """The body with another model name and without side effects. Untouched, byte for byte, where nothing changes."""
    stores_by_default = request.target.partition("?")[0].rstrip("/").endswith("/responses")
    if model is None and not stores_by_default and b'"store"' not in request.body and b"\\u" not in request.body:
        return request.body
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return request.body
    if not isinstance(value, dict):
        return request.body
    if model is not None and "model" in value:
        value["model"] = model
    if value.get("store", stores_by_default):
        value["store"] = False
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return request.body  # nested deeper than the encoder goes; admission has refused it where that matters
