"""Headers that a mesh reads: trace contexts, retries, deadlines, and the traces that other mirrors leave. PURE.

The primary gets the client's trace headers untouched. A copy gets a span of its own below the same parent, so that a trace shows
the shadow beside the real call and never in its place.
"""

from __future__ import annotations

import re

from shadowproxy.exchange import Headers

# W3C Trace Context, level 1, §3.2: version, trace id, parent span id, flags; a later version may append fields.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# B3 single header: trace id, span id, then optionally the sampling state and the parent's span id.
_B3 = re.compile(rb"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-([0-9a-f]{16}))?")

_TRACE_NAMES = frozenset({b"traceparent", b"tracestate", b"b3", b"x-b3-spanid", b"x-b3-parentspanid"})

#: tracestate key under which a copy's arm is written (W3C §3.3.1.3.1: up to 256 of a-z 0-9 _ - * /).
_STATE_KEY = b"shadowproxy"

#: W3C §3.3.1.5 asks to keep at least 512 characters; more is dropped, not passed on cut.
_STATE_BOUND = 512


def traced_as_copy(headers: Headers, arm: str, span_id: bytes) -> Headers:
    """Trace headers of a copy: same trace, ``span_id`` (16 lower-case hex digits) as its own span, the arm as a mark.

    Headers that are no valid trace context are left as they are; nothing is added to an untraced request.
    """
    if not any(name in _TRACE_NAMES for name, _ in headers):
        return headers
    names = {name for name, _ in headers}
    out = []
    for name, value in headers:
        changed = value
        if name == b"traceparent" and (match := _TRACEPARENT.fullmatch(value.strip())):
            changed = b"-".join((match[1], match[2], span_id, match[4])) + (match[5] or b"")
        elif name == b"tracestate" and b"traceparent" in names:
            changed = _marked(value, arm)
        elif name == b"b3" and (match := _B3.fullmatch(value.strip())):
            changed = b"-".join((match[1], span_id, match[3] or b"1", match[2]))
        elif name == b"x-b3-spanid":
            changed = span_id
        elif name == b"x-b3-parentspanid":
            changed = _first(headers, b"x-b3-spanid") or value
        out.append((name, changed))
    if b"traceparent" in names and b"tracestate" not in names:
        out.append((b"tracestate", _marked(b"", arm)))
    return tuple(out)


def _marked(state: bytes, arm: str) -> bytes:
    """Our entry first, as W3C §3.5 asks of whoever changes it last."""
    mark = b"%b=%b" % (_STATE_KEY, arm.encode())
    others = [entry.strip() for entry in state.split(b",") if entry.strip() and not entry.strip().startswith(_STATE_KEY + b"=")]
    joined = b",".join((mark, *others))
    return joined if len(joined) <= _STATE_BOUND else mark


def _first(headers: Headers, name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def is_mirrored_host(host: bytes) -> bool:
    """``host-shadow``, ``host-shadow:8080`` or ``host:8080-shadow``: what Envoy appended to a mirrored request's Host by default,
    and Istio until 1.28."""
    name, _, port = host.rpartition(b":") if b":" in host and not host.endswith(b"]") else (host, b"", b"")
    return name.endswith(b"-shadow") or port.endswith(b"-shadow") or (not name and host.endswith(b"-shadow"))


def deadline_s(headers: Headers) -> float | None:
    """What Envoy says the caller waits at most (``x-envoy-expected-rq-timeout-ms``), in seconds."""
    value = _first(headers, b"x-envoy-expected-rq-timeout-ms")
    if value is None or not value.strip().isdigit():
        return None
    milliseconds = int(value.strip()[:12])
    return milliseconds / 1000 if milliseconds > 0 else None
