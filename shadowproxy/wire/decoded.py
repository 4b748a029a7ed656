"""A reply without its codings: what ``reading`` hands to the dialects. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shadowproxy.errors import BoundExceeded
from shadowproxy.exchange import Read, Reply
from shadowproxy.wire.sse import SseDecoder, SseEvent
from shadowproxy.wire.transfer import decode_content

#: Longest decoded body. 64 MiB: four times the default bound on the bytes of a reply, and no answer in words is near it.
MAX_DECODED_BYTES = 64 * 1024 * 1024
#: Longest event. The body is in memory already, so this is no tighter than the default bound on a reply: pictures come in one event.
MAX_EVENT_BYTES = 16 * 1024 * 1024

_LINE_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


@dataclass(frozen=True, slots=True)
class DecodedReply:
    """``media_type`` is lower case without parameters; ``charset`` is its parameter or empty; ``reads`` have no coding left."""

    status: int
    media_type: str
    charset: str
    reads: tuple[Read, ...]

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.reads)

    @property
    def is_event_stream(self) -> bool:
        return self.media_type == "text/event-stream"

    @property
    def is_lines(self) -> bool:
        """True for a stream of JSON values, one a line."""
        return self.media_type in _LINE_TYPES

    @property
    def last_at_s(self) -> tuple[float, ...]:
        """When the last of the body came; empty where there is no body."""
        return tuple(at_s for at_s, _ in self.reads[-1:])


def decoded(reply: Reply) -> DecodedReply:
    """Undo the content coding of ``reply``. Raises :class:`~shadowproxy.errors.ProtocolError` where that fails or grows too long."""
    media_type, _, parameters = (reply.header(b"content-type") or b"").decode("latin-1").lower().partition(";")
    reads = decode_content(reply.reads, content_coding(reply), MAX_DECODED_BYTES)
    return DecodedReply(reply.status, media_type.strip(), _charset(parameters), reads)


def content_coding(reply: Reply) -> bytes:
    """The Content-Encoding of ``reply``; a header given twice means the same as one list (RFC 9110 section 5.3)."""
    return b",".join(value for name, value in reply.headers if name == b"content-encoding")


def timed_events(decoder: SseDecoder, reads: tuple[Read, ...]) -> Iterator[tuple[float, SseEvent]]:
    """Each event with the time of the read that completed it."""
    for at_s, piece in reads:
        for event in decoder.feed(piece):
            yield at_s, event


def timed_lines(reads: tuple[Read, ...]) -> Iterator[tuple[float, str]]:
    """Each line that is not blank with the time of the read that completed it; the last one needs no line end.

    Raises :class:`BoundExceeded` on a line longer than an event may be.
    """
    begun: list[bytes] = []
    begun_bytes = 0
    for at_s, read in reads:
        pieces = read.split(b"\n")
        for place, piece in enumerate(pieces, 1):
            begun.append(piece)
            begun_bytes += len(piece)
            if begun_bytes > MAX_EVENT_BYTES:
                raise BoundExceeded(f"a line is longer than {MAX_EVENT_BYTES} bytes")
            if place < len(pieces):
                if text := _line(begun):
                    yield at_s, text
                begun, begun_bytes = [], 0
    if text := _line(begun):
        yield reads[-1][0], text


def _line(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace").strip()


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip("\"'")
    return ""
