"""What crosses the hand-over: one msgpack record per finished primary exchange, behind a 4-byte big-endian length."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from shadowproxy.errors import FrameError
from shadowproxy.exchange import PRIMARY, Exchange, Outcome, Reply, Request

_LENGTH = struct.Struct(">I")

#: One frame holds a request and a reply, each bounded by the mirror's limits; past this something is out of step.
MAX_FRAME_BYTES = 512 * 1024 * 1024


class ExchangeFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A primary exchange as the gateway saw it. Header names are lower case, credentials already gone. ``status`` 0: no reply head.

    Where ``is_compared`` is False the request is only to be sent to the arms; ``reads`` is then empty.
    """

    id: str
    route: str
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    issued_at_s: float
    duration_s: float
    outcome: str
    failure: str
    status: int
    reply_headers: list[tuple[bytes, bytes]]
    reads: list[tuple[float, bytes]]
    is_compared: bool = True

    def exchange(self) -> Exchange:
        """The domain value."""
        return Exchange(
            id=self.id,
            arm=PRIMARY,
            route=self.route,
            request=Request(self.method, self.target, tuple(self.headers), self.body),
            reply=Reply(self.status, tuple(self.reply_headers), tuple(self.reads)) if self.status else None,
            outcome=Outcome(self.outcome),
            issued_at_s=self.issued_at_s,
            duration_s=self.duration_s,
            failure=self.failure,
        )


class FrameCodec:
    """Encode frames, and cut a byte stream back into them. Reports a stream that is out of step as :class:`FrameError`."""

    __slots__ = ("_buffer", "_decoder", "_encoder")

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(ExchangeFrame)
        self._buffer = bytearray()

    def encode(self, frame: ExchangeFrame) -> bytes:
        payload = self._encoder.encode(frame)
        return _LENGTH.pack(len(payload)) + payload

    def feed(self, data: bytes) -> Iterator[ExchangeFrame]:
        """Yield every frame that is complete now."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4:
                (size,) = _LENGTH.unpack_from(buffer, start)
                if size > MAX_FRAME_BYTES:
                    raise FrameError(f"a frame announces {size} bytes; the bound is {MAX_FRAME_BYTES}")
                if len(buffer) - start - 4 < size:
                    break
                with memoryview(buffer) as view:
                    payload = bytes(view[start + 4 : start + 4 + size])
                start += 4 + size
                try:
                    frame = self._decoder.decode(payload)
                    Outcome(frame.outcome)
                except (msgspec.DecodeError, ValueError) as exc:
                    raise FrameError(f"a frame does not decode: {exc}") from exc
                yield frame
        finally:
            del buffer[:start]
