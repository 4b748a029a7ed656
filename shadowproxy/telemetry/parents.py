"""The trace that a caller's headers name: where a copy's span hangs, and whether the caller wants it recorded.

Read here is what ``wire.mesh`` rewrites for a copy: W3C Trace Context first, then B3 in its two forms.
"""

from __future__ import annotations

import re

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shadowproxy.exchange import Headers

_W3C = TraceContextTextMapPropagator()

_B3 = re.compile(r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?")
_IDS = re.compile(r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})")


def parent_of(headers: Headers) -> Context:
    """The caller's span as a parent; an empty context where the headers name none, or none that is valid."""
    lines = {name: value.decode("latin-1").strip() for name, value in reversed(headers) if name in _NAMES}
    if "traceparent" in (carrier := {name.decode(): value for name, value in lines.items()}):
        return _W3C.extract(carrier, Context())
    return _of_b3(carrier)


_NAMES = frozenset({b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"x-b3-flags"})


def _of_b3(carrier: dict[str, str]) -> Context:
    if match := _B3.fullmatch(carrier.get("b3", "")):
        trace_id, span_id, sampled = match[1], match[2], match[3]
    elif match := _IDS.fullmatch(f"{carrier.get('x-b3-traceid', '')}-{carrier.get('x-b3-spanid', '')}"):
        trace_id, span_id = match[1], match[2]
        sampled = "1" if carrier.get("x-b3-flags") == "1" else carrier.get("x-b3-sampled")
    else:
        return Context()
    # Without a sampling state the decision is left to us, and the copy is sent with 1.
    flags = TraceFlags(TraceFlags.DEFAULT if sampled in ("0", "false") else TraceFlags.SAMPLED)
    span = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context()) if span.is_valid else Context()
