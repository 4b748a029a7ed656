"""Replies of which nothing but the body is known, no path and no headers: which dialect it is in, and what it says. PURE.

For bodies that come from files. What came over a wire is read by ``reading``, which knows what was asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from shadowproxy.errors import BoundExceeded
from shadowproxy.exchange import Answer, ReplyError
from shadowproxy.wire.decoded import MAX_EVENT_BYTES, DecodedReply, timed_events, timed_lines
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object, parsed
from shadowproxy.wire.paths import GENERIC
from shadowproxy.wire.reading import READERS, UNDECODABLE
from shadowproxy.wire.sse import SseDecoder

#: How many events of a stream are asked. The first one tells nearly always; comments, pings and filter results may come before it.
MAX_ASKED_EVENTS = 16

_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
#: What OpenAI's ``object`` says.
_OBJECTS = {
    "chat.completion": "chat",
    "chat.completion.chunk": "chat",
    "text_completion": "completions",
    "response": "responses",
}
#: How event types of the dialects begin that name their events.
_TYPES = {
    "response.": "responses",
    "message_": "messages",
    "content_block_": "messages",
    "image_generation.": "images",
    "speech.audio.": "speech",
}


def detect_dialect(body: bytes, *, is_stream: bool) -> str:
    """The name of the dialect that ``body`` is in; ``generic`` where it is in none known here. Never raises.

    ``is_stream`` says that ``body`` is an event stream or lines of JSON, and not one JSON value.
    """
    values = _first_values(body) if is_stream else [parsed(body)]
    return next((dialect for value in values if (dialect := _dialect_of(value))), GENERIC)


def read_body(dialect: str, body: bytes, *, is_stream: bool, status: int = 200) -> Answer:
    """What ``body`` says. No times are known, so all content came at 0 s.

    ``dialect`` is the name of one, or empty: then the body itself tells. ``is_stream`` says that ``body`` is an event stream or lines of
    JSON. Never raises on any body; raises ``KeyError`` for a dialect that is not known.
    """
    name = dialect or detect_dialect(body, is_stream=is_stream)
    read = READERS[name]
    try:
        return read(DecodedReply(status, _media_type(body, is_stream), "", ((0.0, body),) if body else ()))
    except BoundExceeded as exc:
        return Answer(name, error=ReplyError(str(exc), type=UNDECODABLE, code="too_large"), is_complete=False)


def _media_type(body: bytes, is_stream: bool) -> str:
    """What the body would have come with; empty where it is no JSON, so that the generic reader looks for itself."""
    if is_stream:
        return "text/event-stream" if _is_event_stream(body) else "application/x-ndjson"
    return "application/json" if body.lstrip()[:1] in (b"{", b"[") else ""


def _is_event_stream(body: bytes) -> bool:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_BEGINNINGS)


def _first_values(body: bytes) -> list[Any]:
    reads = ((0.0, body),)
    found: Iterable[tuple[float, str]]
    if _is_event_stream(body):
        found = ((at_s, event.data) for at_s, event in timed_events(SseDecoder(MAX_EVENT_BYTES), reads))
    else:
        found = timed_lines(reads)
    try:
        return [parsed(data) for _, data in itertools.islice(found, MAX_ASKED_EVENTS)]
    except BoundExceeded:
        return []


def _dialect_of(value: Any) -> str:
    """The dialect of one JSON value; empty where it does not tell."""
    if isinstance(value, list):
        return _dialect_of_list(value)
    fields = an_object(value)
    kind = a_label(fields.get("type"))
    named = _OBJECTS.get(a_label(fields.get("object"))) or next((name for start, name in _TYPES.items() if kind.startswith(start)), "")
    return named or next((name for name, is_spoken in _SHAPES if is_spoken(fields)), "")


def _dialect_of_list(value: list[Any]) -> str:
    first = value[0] if value else None
    if isinstance(first, list):
        return "embeddings" if first and isinstance(first[0], int | float) else ""
    fields = an_object(first)
    if "embedding" in fields:
        return "embeddings"
    if "score" in fields and "index" in fields:
        return "rerank"
    return "generate" if isinstance(fields.get("generated_text"), str) else ""


def _first(fields: Object, name: str) -> Object:
    """The first element of a list in ``fields`` if it is an object, else an empty one."""
    return an_object(next(iter(a_list(fields.get(name))), None))


def _is_completions(fields: Object) -> bool:
    choice = _first(fields, "choices")
    return "text" in choice and "delta" not in choice and "message" not in choice


def _is_messages(fields: Object) -> bool:
    return isinstance(fields.get("content"), list) and ("stop_reason" in fields or a_label(fields.get("type")) == "message")


def _is_ollama(fields: Object) -> bool:
    return "done" in fields and (isinstance(fields.get("message"), dict) or isinstance(fields.get("response"), str))


def _is_embeddings(fields: Object) -> bool:
    return "embedding" in _first(fields, "data") or isinstance(fields.get("embeddings"), list | dict) or "embedding" in fields


def _is_rerank(fields: Object) -> bool:
    lines = (_first(fields, "results"), _first(fields, "data"))
    return any("relevance_score" in line or ("score" in line and "index" in line) for line in lines)


def _is_images(fields: Object) -> bool:
    return bool(a_text(_first(fields, "data").get("b64_json")) or a_text(_first(fields, "data").get("url")))


def _is_generate(fields: Object) -> bool:
    is_token = "text" in an_object(fields.get("token"))
    return is_token or "text_output" in fields or "generated_text" in fields or ("text" in fields and "meta_info" in fields)


#: Asked in this order of a value that does not name its dialect.
_SHAPES: tuple[tuple[str, Callable[[Object], bool]], ...] = (
    ("completions", _is_completions),
    ("chat", lambda fields: isinstance(fields.get("choices"), list)),
    ("responses", lambda fields: isinstance(fields.get("output"), list) and "status" in fields),
    ("messages", _is_messages),
    ("ollama", _is_ollama),
    ("embeddings", _is_embeddings),
    ("rerank", _is_rerank),
    ("images", _is_images),
    ("generate", _is_generate),
    ("predict", lambda fields: isinstance(fields.get("predictions"), list)),
    ("infer", lambda fields: "datatype" in _first(fields, "outputs")),
)
