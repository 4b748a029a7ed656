"""Server-sent events out of a byte stream, however it is cut. PURE, sans-I/O.

Follows the event stream chapter of the WHATWG HTML standard (9.2.6, interpreting an event stream). Fed by ``decoded`` with the reads
of a reply; what the events mean is the dialects' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shadowproxy.errors import BoundExceeded

_BOM = b"\xef\xbb\xbf"
_CR, _LF = b"\r", b"\n"


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event. ``event`` is ``message`` where the stream gave no name; ``id`` is the last id seen so far."""

    event: str
    data: str
    id: str | None


class SseDecoder:
    """Feed bytes, get the events they completed. Each byte is looked at once, so the work is linear however small the feeds are.

    ``max_event_bytes`` bounds what one event may hold (its field lines, and the line being read). Without it a peer that never sends
    a blank line would grow our memory. 1 MiB: an event is a token or a tool call, and an inline picture still fits.
    """

    __slots__ = ("_begun", "_data", "_event", "_held_bytes", "_id", "_line", "_max_event_bytes", "_saw_cr")

    def __init__(self, max_event_bytes: int = 1_048_576) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._begun = False  # the first bytes are known to be a byte order mark or not
        self._saw_cr = False  # the last line ended with \r, so a \n that follows belongs to it
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None
        self._held_bytes = 0

    def __repr__(self) -> str:
        return f"<SseDecoder holding {self._held_bytes + len(self._line)} of {self._max_event_bytes} bytes>"

    @property
    def has_partial(self) -> bool:
        """True where an event was begun and its blank line has not come."""
        return self._held_bytes > 0 or (bool(self._line) and not self._line.startswith(b":"))

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events completed by ``data``. Raises :class:`BoundExceeded`; the decoder is of no use afterwards."""
        return [event for line in self._lines(data) if (event := self._take(line)) is not None]

    def finish(self) -> list[SseEvent]:
        """The input has ended. An event without its blank line is discarded, as the standard says; ``has_partial`` tells of it."""
        return []

    def _lines(self, data: bytes) -> Iterator[bytes]:
        data = self._without_bom(data)
        if self._saw_cr and data:
            self._saw_cr = False
            data = data.removeprefix(_LF)
        for piece in data.splitlines(keepends=True):  # for bytes this knows exactly the three line ends wanted here
            line = piece.rstrip(b"\r\n")
            self._line += line
            if self._held_bytes + len(self._line) > self._max_event_bytes:
                raise BoundExceeded(f"an event is longer than {self._max_event_bytes} bytes")
            self._saw_cr = piece.endswith(_CR)
            if len(line) == len(piece):
                return
            whole = bytes(self._line)
            self._line.clear()
            yield whole

    def _without_bom(self, data: bytes) -> bytes:
        """``data`` without a byte order mark at the stream's start; empty while three bytes have not come to tell."""
        if self._begun:
            return data
        head = bytes(self._line) + data
        self._line.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._line += head
            return b""
        self._begun = True
        return head.removeprefix(_BOM)

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return None
        self._held_bytes += len(line)
        # A line is decoded whole: no UTF-8 sequence holds a line end, so cutting at line ends never cuts a character.
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> SseEvent | None:
        data, name = self._data, self._event
        self._data, self._event, self._held_bytes = [], "", 0
        return SseEvent(name or "message", "\n".join(data), self._id) if data else None
