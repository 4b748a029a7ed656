"""Any reply that no dialect claims: its JSON value, its text, or the digest of its bytes. PURE. Chosen by ``reading``."""

from __future__ import annotations

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.decoded import MAX_EVENT_BYTES, DecodedReply, timed_events
from shadowproxy.wire.failures import failure_of_body
from shadowproxy.wire.loose_json import canonical, parsed
from shadowproxy.wire.media import kind_of, media_of_bytes
from shadowproxy.wire.sse import SseDecoder

_TEXT_TYPES = frozenset({"application/xml", "application/javascript", "application/yaml", "application/x-ndjson", "application/jsonl"})
# Only these: Python knows codecs that are no character sets, and some that are slow on purpose-made input.
_CHARSETS = {"iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252", "utf-16": "utf-16"}


def read_generic(reply: DecodedReply) -> Answer:
    """A reply as dialect ``json`` (text: the canonical JSON), ``text`` or ``bytes``.

    For ``bytes`` the text is empty and ``media`` holds the digest, so that two binary replies can be told apart without keeping them;
    ``unknown`` says so, too, as ``sha256:`` and the digest. ``error`` is set for status 400 and above. Of an event stream every event
    counts as content, and one that was begun and not ended makes it incomplete.
    """
    body = reply.body
    dialect, text = _meaning(reply, body)
    media = (media_of_bytes(kind_of(reply.media_type), body),) if dialect == "bytes" else ()
    content_at_s, is_complete = _events(reply) if reply.is_event_stream else (reply.last_at_s, True)
    return Answer(
        dialect=dialect,
        choices=(Choice(text=text, media=media),),
        error=failure_of_body(reply.status, body) if reply.status >= 400 else None,
        is_streamed=reply.is_event_stream,
        is_complete=is_complete,
        content_at_s=content_at_s,
        unknown=tuple(f"sha256:{each.sha256}" for each in media),
    )


def _meaning(reply: DecodedReply, body: bytes) -> tuple[str, str]:
    value = parsed(body) if _may_be_json(reply.media_type, body) else None
    if value is not None and (text := canonical(value)) is not None:
        return "json", text
    if _is_text(reply.media_type, body):
        return "text", _text(body, reply.charset)
    return "bytes", ""


def _may_be_json(media_type: str, body: bytes) -> bool:
    if media_type == "application/json" or media_type.endswith("+json"):
        return True
    return media_type in ("", "text/plain", "application/octet-stream") and body.lstrip()[:1] in (b"{", b"[")


def _is_text(media_type: str, body: bytes) -> bool:
    if media_type.startswith("text/") or media_type in _TEXT_TYPES or media_type.endswith(("json", "+xml")):
        return True
    return not body or (not media_type and _is_utf8_text(body))


def _is_utf8_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _text(body: bytes, charset: str) -> str:
    return body.decode(_CHARSETS.get(charset, "utf-8"), "replace")


def _events(reply: DecodedReply) -> tuple[tuple[float, ...], bool]:
    """When each event came, and whether the last one was ended."""
    decoder = SseDecoder(MAX_EVENT_BYTES)
    at_s = tuple(at_s for at_s, event in timed_events(decoder, reply.reads) if event.data)
    return at_s, not decoder.has_partial
