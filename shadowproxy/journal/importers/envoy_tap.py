"""Traces of Envoy's tap filter in JSON (envoy.data.tap.v3.TraceWrapper): buffered ones, and streamed ones in segments of one ``trace_id``.

Envoy writes field names as in its protobuf files; what has gone through other JSON encoders has them in camel case. Bodies are base64
(``as_bytes``) or text (``as_string``). Streamed segments carry no times.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowproxy.exchange import Request
from shadowproxy.journal.importers.documents import documents
from shadowproxy.journal.importers.made import UNANSWERED, Answered, Item, Unusable, exchange, first_of, headers_of, seconds_of, target_of

NAME = "envoy-tap"


class _Broken(Exception):
    """A message that cannot be used; says why."""


@dataclass(slots=True)
class _Message:
    """One direction of a trace. ``at_s`` is when its headers came, 0 where that is not said."""

    headers: list[tuple[str, str | bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    at_s: float = 0.0
    is_cut: bool = False

    def pseudo(self, name: str) -> str:
        """The value of ``:path`` and the like."""
        value = next((value for key, value in self.headers if key == name), "")
        return value if isinstance(value, str) else value.decode("utf-8", "replace")


@dataclass(slots=True)
class _Trace:
    place: str
    request: _Message = field(default_factory=_Message)
    response: _Message = field(default_factory=_Message)


def fits(value: Mapping[str, Any]) -> bool:
    """True for a trace, buffered or streamed."""
    return _buffered(value) is not None or _segment(value) is not None


def read(files: Sequence[str]) -> Iterator[Item]:
    """Buffered traces in their order, then streamed ones by their first segment."""
    streamed: dict[str, _Trace] = {}
    for number, document in enumerate(documents(files), 1):
        if isinstance(document, Unusable):
            yield document
            continue
        try:
            if (trace := _buffered(document.fields)) is not None:
                yield _item(f"tap-{number:06d}", _whole_trace(document.place, trace))
            elif (segment := _segment(document.fields)) is not None:
                _take(streamed, document.place, segment)
            else:
                yield Unusable(document.place, "no trace of HTTP", ", ".join(document.fields)[:100])
        except _Broken as exc:
            yield Unusable(document.place, str(exc))
    yield from (_item(f"tap-{id_}", trace) for id_, trace in streamed.items())


def _buffered(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _object(value, "http_buffered_trace", "httpBufferedTrace")


def _segment(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _object(value, "http_streamed_trace_segment", "httpStreamedTraceSegment")


def _object(value: Mapping[str, Any], *names: str) -> Mapping[str, Any] | None:
    found = first_of(value, *names)
    return found if isinstance(found, dict) else None


def _whole_trace(place: str, trace: Mapping[str, Any]) -> _Trace:
    return _Trace(place, *(_message(_object(trace, name) or {}) for name in ("request", "response")))


def _message(fields: Mapping[str, Any]) -> _Message:
    message = _Message(_headers(fields.get("headers")), at_s=seconds_of(first_of(fields, "headers_received_time", "headersReceivedTime")))
    _add_body(message, _object(fields, "body"))
    return message


def _take(streamed: dict[str, _Trace], place: str, segment: Mapping[str, Any]) -> None:
    id_ = str(first_of(segment, "trace_id", "traceId") or "")
    if not id_:
        raise _Broken("a segment without trace_id")
    trace = streamed.setdefault(id_, _Trace(place))
    for name, message in (("request", trace.request), ("response", trace.response)):
        if (headers := _object(segment, f"{name}_headers", f"{name}Headers")) is not None:
            message.headers += _headers(headers.get("headers"))
        _add_body(message, _object(segment, f"{name}_body_chunk", f"{name}BodyChunk"))


def _headers(listed: object) -> list[tuple[str, str | bytes]]:
    if not isinstance(listed, list):
        return []
    return [(str(each["key"]), _value(each)) for each in listed if isinstance(each, dict) and "key" in each]


def _value(header: Mapping[str, Any]) -> str | bytes:
    raw = first_of(header, "raw_value", "rawValue")
    return _unbase64(raw) if raw else str(header.get("value", ""))


def _add_body(message: _Message, body: Mapping[str, Any] | None) -> None:
    if body is None:
        return
    message.is_cut = message.is_cut or bool(body.get("truncated"))
    as_bytes, as_string = first_of(body, "as_bytes", "asBytes"), first_of(body, "as_string", "asString")
    message.body.append(_unbase64(as_bytes) if as_bytes is not None else str(as_string or "").encode())


def _unbase64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise _Broken("bytes that are no base64") from None


def _item(id_: str, trace: _Trace) -> Item:
    request = trace.request
    body = b"".join(request.body)
    if not request.pseudo(":path"):
        return Unusable(trace.place, "a request without its head")
    if request.is_cut or trace.response.is_cut:
        return Unusable(trace.place, "a body that was cut", "raise max_buffered_rx_bytes and max_buffered_tx_bytes of the tap")
    if not body:
        return Unusable(trace.place, "a request without a body", f"{request.pseudo(':method')} {request.pseudo(':path')}"[:100])
    sent = Request(request.pseudo(":method") or "POST", target_of(request.pseudo(":path")), headers_of(request.headers), body)
    return exchange(id_, sent, _answered(trace), request.at_s)


def _answered(trace: _Trace) -> Answered:
    response = trace.response
    status = response.pseudo(":status")
    if not status.isdecimal():
        return UNANSWERED
    wait_s = max(0.0, response.at_s - trace.request.at_s) if response.at_s else 0.0
    reads = tuple((wait_s, piece) for piece in response.body if piece)
    return Answered(int(status), headers_of(response.headers), reads, wait_s)
