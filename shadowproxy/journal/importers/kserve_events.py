"""CloudEvents of KServe's inference logger: a request and a response with one ``Ce-Id``.

Three forms: structured events (``{"specversion": …, "data": …}``), binary ones as a receiver has saved them (``{"headers": {"Ce-Id": …},
"body": …}``), and the records that the logger itself writes to a bucket (JSON or CSV; ``reqType``, ``bytes`` in base64). None says which
path was asked; it is guessed by the body. https://github.com/kserve/kserve, pkg/logger.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shadowproxy.exchange import Request
from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import UNANSWERED, Answered, Item, Unusable, exchange, guessed_target, seconds_of

NAME = "kserve"

_REQUEST, _RESPONSE = "inference.request", "inference.response"


@dataclass(frozen=True, slots=True)
class _Event:
    place: str
    id: str
    type: str
    media_type: str
    data: bytes
    model: str
    at_s: float


def fits(value: Mapping[str, Any]) -> bool:
    """True for an event in any of the three forms."""
    return "specversion" in value or "reqType" in value or "ce-id" in _lowered(value.get("headers"))


def read(files: Sequence[str]) -> Iterator[Item]:
    """Requests in the order in which their second half stands; those without a response at the end."""
    waiting: dict[str, _Event] = {}
    early: dict[str, _Event] = {}
    for document in documents(files):
        event = document if isinstance(document, Unusable) else _event(document)
        if isinstance(event, Unusable):
            yield event
            continue
        is_request = event.type.endswith(_REQUEST)
        partner = (early if is_request else waiting).pop(event.id, None)
        if partner is None:
            (waiting if is_request else early)[event.id] = event
        else:
            yield _exchange(event, partner) if is_request else _exchange(partner, event)
    yield from (_exchange(request, None) for request in waiting.values())
    yield from (Unusable(response.place, "a response without its request", response.id) for response in early.values())


def _event(document: Document) -> _Event | Unusable:
    fields = document.fields
    try:
        event = _structured(document) if "specversion" in fields else _stored(document) if "reqType" in fields else _binary(document)
    except (binascii.Error, ValueError):
        return Unusable(document.place, "bytes that are no base64")
    if not event.id or not event.type.endswith((_REQUEST, _RESPONSE)):
        return Unusable(document.place, "no event of an inference", event.type or "without type")
    return event


def _structured(document: Document) -> _Event:
    fields = document.fields
    encoded = fields.get("data_base64")
    data = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else _data(fields.get("data"))
    return _made(document.place, fields, str(fields.get("datacontenttype") or "application/json"), data)


def _binary(document: Document) -> _Event:
    headers = _lowered(document.fields.get("headers"))
    attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
    encoded = document.fields.get("body_base64")
    data = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else _data(document.fields.get("body"))
    return _made(document.place, attributes, headers.get("content-type", "application/json"), data)


def _stored(document: Document) -> _Event:
    fields = document.fields
    attributes = {"id": fields.get("id"), "type": fields["reqType"], "inferenceservicename": fields.get("inferenceService")}
    data = base64.b64decode(str(fields.get("bytes") or ""), validate=True)
    return _made(document.place, attributes, str(fields.get("contentType") or "application/json"), data)


def _made(place: str, attributes: Mapping[str, Any], media_type: str, data: bytes) -> _Event:
    return _Event(
        place,
        str(attributes.get("id") or ""),
        str(attributes.get("type") or ""),
        media_type,
        data,
        str(attributes.get("inferenceservicename") or ""),
        seconds_of(attributes.get("time")),
    )


def _lowered(headers: object) -> dict[str, str]:
    """Header names in lower case; a list of values, as Go and Node save it, counts by its first."""
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): str(value[0] if isinstance(value, list) and value else value) for name, value in headers.items()}


def _data(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value) if value is not None else b""


def _exchange(request: _Event, response: _Event | None) -> Item:
    try:
        body = orjson.loads(request.data)
    except ValueError:
        return Unusable(request.place, "a request that is no JSON", request.media_type)
    if not isinstance(body, dict):
        return Unusable(request.place, "a request that is no JSON object", request.id)
    sent = Request("POST", guessed_target(body, request.model), _content_type(request), request.data)
    return exchange(request.id, sent, UNANSWERED if response is None else _answered(request, response), request.at_s)


def _content_type(event: _Event) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-type", event.media_type.encode("latin-1", "replace")),)


def _answered(request: _Event, response: _Event) -> Answered:
    """The logger logs only what came back with 200."""
    took_s = max(0.0, response.at_s - request.at_s) if request.at_s and response.at_s else 0.0
    return Answered(200, _content_type(response), ((took_s, response.data),), took_s)
