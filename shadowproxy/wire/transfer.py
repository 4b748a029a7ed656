"""HTTP codings undone, read by read: chunked transfer coding and content codings. PURE.

Each read keeps its arrival time, because latency is measured on what a read carried. ``dechunk`` serves observers that see raw
bodies; ``reading`` calls ``decode_content``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum

from shadowproxy.errors import BoundExceeded, UpstreamProtocolError
from shadowproxy.exchange import Read

#: Longest chunk size line, extensions included. 4 KiB: nobody sends extensions in earnest, and a size has 16 digits at most.
MAX_SIZE_LINE_BYTES = 4096
#: Longest trailer section. 64 KiB: the same as a header block may have.
MAX_TRAILER_BYTES = 65536
#: Most content codings on one body. Two make no sense already; a header's worth of them would keep us busy.
MAX_CODINGS = 4

# zlib copies what follows a finished gzip member. Feeding in slices keeps that copy small, so that a body made of a great many
# tiny members costs linear time.
_SLICE_BYTES = 4096

# RFC 9112 section 7.1. More than 16 digits would not fit 64 bits, which is how request smuggling starts.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;[^\r\n]*)?\r\n")


class _Expect(Enum):
    SIZE = "chunk size"
    DATA = "chunk data"
    DATA_END = "end of chunk data"
    TRAILER = "trailer"
    NOTHING = "nothing"


class _Dechunker:
    """The state between two reads: what comes next, how much of it, and the line begun."""

    __slots__ = ("_left_bytes", "_line", "_trailer_bytes", "expect")

    def __init__(self) -> None:
        self.expect = _Expect.SIZE
        self._left_bytes = 0
        self._line = bytearray()
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """The chunk data within ``data``. What follows the last chunk's trailers belongs to the next message and is left out."""
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and self.expect is not _Expect.NOTHING:
            if self.expect is _Expect.DATA:
                piece = data[at : at + self._left_bytes]
                pieces.append(piece)
                at += len(piece)
                self._take_data(len(piece))
            else:
                end = data.find(b"\n", at) + 1 or len(data)
                self._take_line(data[at:end])
                at = end
        return b"".join(pieces)

    def _take_data(self, size: int) -> None:
        self._left_bytes -= size
        if not self._left_bytes:
            self.expect = _Expect.DATA_END

    def _take_line(self, piece: bytes) -> None:
        self._line += piece
        self._check_bounds(len(piece))
        if not self._line.endswith(b"\n"):
            return
        line = bytes(self._line)
        self._line.clear()
        if self.expect is _Expect.SIZE:
            self._take_size(line)
        elif self.expect is _Expect.TRAILER:
            self.expect = _Expect.NOTHING if line == b"\r\n" else _Expect.TRAILER
        elif line == b"\r\n":
            self.expect = _Expect.SIZE
        else:
            raise UpstreamProtocolError(f"chunk data is not followed by a line end but by {line[:20]!r}")

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise UpstreamProtocolError(f"{line[:40]!r} is not a chunk size line")
        self._left_bytes = int(match[1], 16)
        self.expect = _Expect.DATA if self._left_bytes else _Expect.TRAILER

    def _check_bounds(self, size: int) -> None:
        if self.expect is _Expect.TRAILER:
            self._trailer_bytes += size
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise UpstreamProtocolError(f"the trailers are longer than {MAX_TRAILER_BYTES} bytes")
        elif len(self._line) > MAX_SIZE_LINE_BYTES:
            raise UpstreamProtocolError(f"a chunk size line is longer than {MAX_SIZE_LINE_BYTES} bytes")


def dechunk(reads: Iterable[Read]) -> tuple[tuple[Read, ...], bool]:
    """Undo HTTP/1.1 chunked transfer coding (RFC 9112 section 7.1).

    Returns the decoded reads (those that carried no data are dropped) and whether the last chunk and its trailers came.
    Extensions and trailers are read over. Raises :class:`UpstreamProtocolError` where the framing is broken.
    """
    state = _Dechunker()
    decoded = tuple((at_s, body) for at_s, piece in reads if (body := state.feed(piece)))
    return decoded, state.expect is _Expect.NOTHING


def codings_of(header: bytes | None) -> tuple[str, ...]:
    """The codings named by a Content-Encoding header, in the order applied, lower case, without ``identity``."""
    if not header:
        return ()
    names = (name.strip().lower() for name in header.decode("latin-1").split(","))
    return tuple(name for name in names if name and name != "identity")


def can_decode(header: bytes | None) -> bool:
    """True where :func:`decode_content` knows every coding named by a Content-Encoding header."""
    return all(name in _WINDOW_BITS for name in codings_of(header))


def decode_content(reads: Iterable[Read], coding: bytes | None, max_bytes: int) -> tuple[Read, ...]:
    """Undo the content coding (RFC 9110 section 8.4), keeping the time of each read; reads that decode to nothing are dropped.

    ``coding`` is the Content-Encoding header. A body that was cut off decodes as far as it goes. Raises
    :class:`UpstreamProtocolError` where a coding is unknown (it is named) or the data is damaged, :class:`BoundExceeded` where more
    than ``max_bytes`` would come out: a kilobyte of gzip can hold a megabyte of zeros.
    """
    names = codings_of(coding)
    if len(names) > MAX_CODINGS:
        raise UpstreamProtocolError(f"{len(names)} content codings on top of each other")
    for name in reversed(names):
        reads = _inflated(reads, _Inflater(name, max_bytes))
    return tuple(_within(reads, max_bytes))


def _inflated(reads: Iterable[Read], stage: _Inflater) -> Iterator[Read]:
    for at_s, piece in reads:
        yield at_s, stage.feed(piece)


def _within(reads: Iterable[Read], max_bytes: int) -> Iterator[Read]:
    """The reads that are not empty, as long as they are within the bound together."""
    total = 0
    for at_s, piece in reads:
        total += len(piece)
        if total > max_bytes:
            raise BoundExceeded(f"the decoded body is longer than {max_bytes} bytes")
        if piece:
            yield at_s, piece


#: What zlib calls the formats. For deflate the sign is chosen by the first two bytes.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_GZIP_MAGIC = b"\x1f\x8b"


class _Inflater:
    """One gzip or deflate stage, fed read by read."""

    __slots__ = ("_coding", "_engine", "_is_first", "_is_over", "_lead", "_left_bytes", "_max_bytes")

    def __init__(self, coding: str, max_bytes: int) -> None:
        if coding not in _WINDOW_BITS:
            raise UpstreamProtocolError(f"content coding {coding[:40]} is not known here; known: identity, {', '.join(_WINDOW_BITS)}")
        self._coding = coding
        self._max_bytes = max_bytes
        self._left_bytes = max_bytes
        self._lead = b""
        self._engine: zlib._Decompress | None = None
        self._is_first = True
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        return b"".join(piece for at in range(0, len(data), _SLICE_BYTES) for piece in self._members(data[at : at + _SLICE_BYTES]))

    def _members(self, data: bytes) -> Iterator[bytes]:
        """Decoded data of each compressed member that ``data`` touches; gzip may put several after each other (RFC 1952)."""
        while data and not self._is_over:
            if self._engine is None:
                data = self._begin(data)
            if self._engine is not None:
                yield self._inflate(self._engine, data)
                data = self._end(self._engine)

    def _begin(self, data: bytes) -> bytes:
        """Choose the format once two bytes are there to tell; what follows the last member is not ours and is left out."""
        lead = self._lead + data
        if len(lead) < 2:
            self._lead = lead
            return b""
        self._lead = b""
        if not self._is_first and (self._coding == "deflate" or not lead.startswith(_GZIP_MAGIC)):
            self._is_over = True
            return b""
        bits = _WINDOW_BITS[self._coding]
        # "deflate" means zlib, but some servers send the bare format; every client takes both.
        is_bare = self._coding == "deflate" and not _is_zlib_header(lead)
        self._engine = zlib.decompressobj(-bits if is_bare else bits)
        self._is_first = False
        return lead

    def _inflate(self, engine: zlib._Decompress, data: bytes) -> bytes:
        try:
            decoded = engine.decompress(data, self._left_bytes + 1)
        except zlib.error as exc:
            raise UpstreamProtocolError(f"the {self._coding} data is damaged ({exc})") from exc
        self._left_bytes -= len(decoded)
        if self._left_bytes < 0:
            raise BoundExceeded(f"the decoded body is longer than {self._max_bytes} bytes")
        return decoded

    def _end(self, engine: zlib._Decompress) -> bytes:
        if not engine.eof:
            return b""
        self._engine = None
        return engine.unused_data


def _is_zlib_header(lead: bytes) -> bool:
    """RFC 1950 section 2.2: method 8, window up to 32 KiB, check bits."""
    return lead[0] & 0x0F == 8 and lead[0] >> 4 <= 7 and int.from_bytes(lead[:2], "big") % 31 == 0
