"""Frames survive any cut of the byte stream; what is no frame is refused."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.errors import FrameError
from shadowproxy.exchange import PRIMARY, Outcome
from shadowproxy.handover.frames import MAX_FRAME_BYTES, ExchangeFrame, FrameCodec


def frame(number: int = 0, body: bytes = b'{"model":"m"}', **changes: object) -> ExchangeFrame:
    fields = {
        "id": f"id-{number}",
        "route": "chat",
        "method": "POST",
        "target": "/v1/chat/completions?x=\xe9",
        "headers": [(b"content-type", b"application/json"), (b"x-odd", b"\xff\x00")],
        "body": body,
        "issued_at_s": 1_700_000_000.25,
        "duration_s": 0.5,
        "outcome": "ok",
        "failure": "",
        "status": 200,
        "reply_headers": [(b"a", b"b"), (b"a", b"c")],
        "reads": [(0.1, b"data: 1\n\n"), (0.2, b"")],
    }
    return ExchangeFrame(**{**fields, **changes})  # type: ignore[arg-type]


def test_frame_becomes_the_exchange_it_describes() -> None:
    exchange = frame(7).exchange()
    assert (exchange.id, exchange.arm, exchange.route, exchange.outcome) == ("id-7", PRIMARY, "chat", Outcome.OK)
    assert exchange.request.header(b"x-odd") == b"\xff\x00"
    assert exchange.reply is not None
    assert exchange.reply.body == b"data: 1\n\n"
    assert exchange.reply.headers == ((b"a", b"b"), (b"a", b"c"))
    assert frame(status=0).exchange().reply is None


def test_stream_cut_at_every_byte_gives_the_same_frames() -> None:
    sent = [frame(0), frame(1, body=b""), frame(2, reads=[])]
    stream = b"".join(FrameCodec().encode(each) for each in sent)
    for cut in range(len(stream) + 1):
        codec = FrameCodec()
        assert [*codec.feed(stream[:cut]), *codec.feed(stream[cut:])] == sent


def test_stream_in_single_bytes_gives_the_same_frames() -> None:
    sent = [frame(0), frame(1)]
    codec = FrameCodec()
    stream = b"".join(codec.encode(each) for each in sent)
    assert [found for byte in stream for found in codec.feed(bytes((byte,)))] == sent


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(st.integers(1, 97), min_size=1, max_size=50))
def test_any_bodies_in_any_pieces_come_back(bodies: list[bytes], sizes: list[int]) -> None:
    sent = [frame(number, body=body, reads=[(0.0, body)]) for number, body in enumerate(bodies)]
    codec = FrameCodec()
    rest = b"".join(codec.encode(each) for each in sent)
    found: list[ExchangeFrame] = []
    turn = 0
    while rest:
        size = sizes[turn % len(sizes)]
        found += codec.feed(rest[:size])
        rest, turn = rest[size:], turn + 1
    assert found == sent


BAD = {
    "no msgpack": b"\xc1\xc1\xc1",
    "another shape": msgspec.msgpack.encode({"id": 1}),
    "too few fields": msgspec.msgpack.encode(["id", "chat"]),
    "unknown outcome": msgspec.msgpack.encode(frame(outcome="splendid")),
}


@pytest.mark.parametrize("kind", BAD)
def test_bytes_out_of_step_are_a_frame_error(kind: str) -> None:
    payload = BAD[kind]
    with pytest.raises(FrameError, match="a frame does not decode"):
        list(FrameCodec().feed(struct.pack(">I", len(payload)) + payload))


def test_absurd_length_is_refused_before_anything_is_kept_for_it() -> None:
    with pytest.raises(FrameError, match=f"announces {MAX_FRAME_BYTES + 1} bytes; the bound is {MAX_FRAME_BYTES}"):
        list(FrameCodec().feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))


def test_good_frames_before_the_bad_bytes_are_still_delivered() -> None:
    codec = FrameCodec()
    frames = codec.feed(codec.encode(frame(1)) + struct.pack(">I", 1) + b"\xc1")
    assert next(frames) == frame(1)
    with pytest.raises(FrameError):
        next(frames)
