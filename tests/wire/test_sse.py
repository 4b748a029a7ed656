"""Server-sent events: what the standard says, whatever the cuts, within the bound, in linear work."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.errors import BoundExceeded
from shadowproxy.wire.sse import SseDecoder, SseEvent


def _decode(*pieces: bytes, bound: int = 1_048_576) -> list[SseEvent]:
    decoder = SseDecoder(bound)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


def _message(data: str, event: str = "message", last_id: str | None = None) -> SseEvent:
    return SseEvent(event, data, last_id)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [_message("a"), _message("b")], id="lf"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [_message("a"), _message("b")], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [_message("a"), _message("b")], id="cr"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [_message("a"), _message("b")], id="mixed"),
        pytest.param(b"data: a\ndata: b\ndata:\ndata: c\n\n", [_message("a\nb\n\nc")], id="several data lines are joined"),
        pytest.param(b"data: a\r\ndata: b\r\n\r\n", [_message("a\nb")], id="several data lines, crlf"),
        pytest.param(b"data: a\rdata: b\r\r", [_message("a\nb")], id="several data lines, cr"),
        pytest.param(b"data:a\n\n", [_message("a")], id="no blank after the colon"),
        pytest.param(b"data:  a \n\n", [_message(" a ")], id="one blank is dropped, no more"),
        pytest.param(b"data\n\n", [_message("")], id="a field without colon has an empty value"),
        pytest.param(b"data:\n\n", [_message("")], id="empty data is an event"),
        pytest.param(b"event: error\n\ndata: a\n\n", [_message("a")], id="a name without data is no event and does not stay"),
        pytest.param(b"event: error\ndata: a\n\ndata: b\n\n", [_message("a", "error"), _message("b")], id="a name holds for one event"),
        pytest.param(b"id: 7\ndata: a\n\ndata: b\n\n", [_message("a", last_id="7"), _message("b", last_id="7")], id="an id stays"),
        pytest.param(b"id: 7\nid: 8\0\ndata: a\n\n", [_message("a", last_id="7")], id="an id with NUL is ignored"),
        pytest.param(b": ping\n\n:\n\n: a\ndata: b\n: c\n\n", [_message("b")], id="comments"),
        pytest.param(b"retry: 10\nfoo: bar\nData: x\ndata: a\n\n", [_message("a")], id="unknown fields"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [_message("a")], id="byte order mark"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [_message("b")], id="only one byte order mark"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [_message("a")], id="byte order mark elsewhere"),
        pytest.param(b"\xefdata: a\n\n", [], id="half a byte order mark"),
        pytest.param("data: grüße 🎈\n\n".encode(), [_message("grüße 🎈")], id="utf-8"),
        pytest.param(b"data: a\xff\xe2\x82b\xf0\x9f\n\n", [_message("a\ufffd\ufffdb\ufffd")], id="invalid utf-8"),
        pytest.param(
            "data: a\x0bb\x0cc\x1cd\x85e\u2028f\n\n".encode(), [_message("a\x0bb\x0cc\x1cd\x85e\u2028f")], id="no other line ends"
        ),
        pytest.param(b"\n\n\r\n\r\r", [], id="blank lines only"),
        pytest.param(b"data: a\rdata: b\n\n", [_message("a\nb")], id="a line that ends otherwise than the one before"),
        pytest.param(b"data: a\n\ndata: b\n", [_message("a")], id="an event without its blank line is discarded"),
        pytest.param(b"data: a\n\ndata: b", [_message("a")], id="a line without its end is discarded"),
    ],
)
def test_events_are_the_same_whole_cut_anywhere_and_byte_by_byte(stream: bytes, events: list[SseEvent]) -> None:
    assert _decode(stream) == events
    for at in range(len(stream)):
        assert _decode(stream[:at], stream[at:]) == events
    assert _decode(*(stream[at : at + 1] for at in range(len(stream)))) == events
    assert _decode(*(piece for at in range(len(stream)) for piece in (stream[at : at + 1], b""))) == events


def test_a_return_does_not_swallow_the_newline_of_a_later_line() -> None:
    """The mark "the last line ended with \\r" once outlived the beginning of the next line, so a \\n in the next feed was lost."""
    assert _decode(b"data: a\rdata: b", b"\n\ndata: c\n\n") == [_message("a\nb"), _message("c")]


_LINES = st.lists(
    st.sampled_from(
        [b"data: a", b"data:", b"data", b": c", b"event: e", b"id: 1", b"", b"", b"\xef\xbb\xbf", "data: ü🎈".encode(), b"\xf0\x9f"]
    ),
    max_size=20,
)
_STREAMS = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda lines, end: end.join(lines), _LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])),
    st.lists(st.sampled_from([b"data:x", b"\r", b"\n", b"\xef", b"\xbb", b"\xbf", b"\xe2\x82", b"\xac", b":"]), max_size=30).map(b"".join),
)


@settings(deadline=None)
@given(_STREAMS, st.lists(st.integers(0, 200)), st.integers(1, 40))
def test_any_cut_of_the_stream_decodes_alike(stream: bytes, cuts: list[int], bound: int) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]

    def outcome(*parts: bytes) -> tuple[list[SseEvent], bool] | str:
        decoder = SseDecoder(bound)
        try:
            events = [event for part in parts for event in decoder.feed(part)]
        except BoundExceeded as exc:
            return str(exc)
        return events + decoder.finish(), decoder.has_partial

    expected = outcome(stream)
    assert outcome(*pieces) == expected
    assert outcome(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    assert all(outcome(stream[:at], stream[at:]) == expected for at in range(len(stream)))


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_was_written_is_read(lines: list[str], end: str) -> None:
    stream = "".join(f"data: {line}{end}" for line in lines) + end
    assert _decode(stream.encode()) == [_message("\n".join(lines))]


@pytest.mark.parametrize(
    ("stream", "has_partial"),
    [
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a\n", True),
        (b"data: a", True),
        (b"event: a\n", True),
        (b"data: a\r\n\r", False),
        (b"data: a\n\n: pin", False),
        (b"data: a\n\n: ping\n", False),
        (b"\xef\xbb", True),
    ],
)
def test_has_partial_tells_of_an_event_that_was_begun(stream: bytes, has_partial: bool) -> None:
    decoder = SseDecoder()
    decoder.feed(stream)
    assert decoder.finish() == []
    assert decoder.has_partial is has_partial


def test_an_event_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert _decode(b"data:" + b"x" * 5 + b"\n\n", bound=10) == [_message("xxxxx")]
    with pytest.raises(BoundExceeded, match="10 bytes"):
        _decode(b"data:" + b"x" * 6, bound=10)


def test_the_bound_is_on_the_event_and_not_only_on_its_lines() -> None:
    with pytest.raises(BoundExceeded):
        _decode(b"data:x\n" * 3, bound=15)


def test_the_bound_begins_anew_with_each_event_and_comments_do_not_add_up() -> None:
    assert len(_decode(b"data: 1\n\n" * 1000, bound=10)) == 1000
    assert _decode(b": ping\n" * 1000 + b"data:a\n\n", bound=10) == [_message("a")]


def test_an_endless_comment_is_bounded_too() -> None:
    with pytest.raises(BoundExceeded):
        _decode(b":", *[b"x"] * 20, bound=10)


def test_work_is_linear_in_small_feeds() -> None:
    """Byte by byte, every feed of a long line must cost the same: quadratic work on these 2 MB would outlast the test's time limit."""
    decoder = SseDecoder(max_event_bytes=3_000_000)
    assert not any(decoder.feed(b"data:"))
    for _ in range(2_000_000):
        decoder.feed(b"x")
    (event,) = decoder.feed(b"\n\n")
    assert len(event.data) == 2_000_000


def test_a_long_line_in_large_reads_is_one_event() -> None:
    decoder = SseDecoder(max_event_bytes=11_000_000)
    pieces = [b"data:", *[b"x" * 65536] * 160, b"\n\n"]
    (event,) = [event for piece in pieces for event in decoder.feed(piece)]
    assert len(event.data) == 160 * 65536


def test_repr_tells_the_state() -> None:
    decoder = SseDecoder(100)
    decoder.feed(b"data: a\nda")
    assert repr(decoder) == "<SseDecoder holding 9 of 100 bytes>"
