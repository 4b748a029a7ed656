"""Chunked transfer coding and content codings: any cut decodes alike, times are kept, bounds hold."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.errors import BoundExceeded, UpstreamProtocolError
from shadowproxy.exchange import Read
from shadowproxy.wire.transfer import MAX_SIZE_LINE_BYTES, MAX_TRAILER_BYTES, can_decode, codings_of, dechunk, decode_content

MIB = 1024 * 1024


def _reads(data: bytes, *cuts: int) -> tuple[Read, ...]:
    """``data`` cut at ``cuts``, one read per second."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return tuple((float(second), data[start:end]) for second, (start, end) in enumerate(itertools.pairwise(places)))


def _body(reads: tuple[Read, ...]) -> bytes:
    return b"".join(piece for _, piece in reads)


def _chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def _bare_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


# --- chunked --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        pytest.param(b"0\r\n\r\n", b"", id="empty"),
        pytest.param(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world", id="two chunks"),
        pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="upper case digits"),
        pytest.param(b"00005\r\nhello\r\n000\r\n\r\n", b"hello", id="leading zeros"),
        pytest.param(b'5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n', b"hello", id="extensions"),
        pytest.param(b"5 \t;a\r\nhello\r\n0\r\n\r\n", b"hello", id="blanks before an extension"),
        pytest.param(b"5\r\nhello\r\n0\r\nx-a: b\r\nx-c: d\r\n\r\n", b"hello", id="trailers"),
        pytest.param(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", id="data that looks like framing"),
        pytest.param(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", b"a", id="the next message is not ours"),
    ],
)
def test_chunks_are_joined_whole_and_byte_by_byte(wire: bytes, body: bytes) -> None:
    for reads in (_reads(wire), _reads(wire, *range(len(wire)))):
        decoded, is_complete = dechunk(reads)
        assert (_body(decoded), is_complete) == (body, True)


@pytest.mark.parametrize("missing", range(1, 16))
def test_a_cut_body_keeps_what_came_and_says_so(missing: int) -> None:
    wire = b"5\r\nhello\r\n0\r\n\r\n"
    decoded, is_complete = dechunk(_reads(wire[:-missing]))
    assert not is_complete
    assert b"hello".startswith(_body(decoded))


def test_each_read_keeps_its_time_and_framing_only_reads_are_dropped() -> None:
    reads = ((0.1, b"5\r\n"), (0.2, b"he"), (0.3, b"llo"), (0.4, b"\r\n"), (0.5, b"1\r\n!\r\n1\r\n?\r\n0\r\n"), (0.6, b"\r\n"))
    assert dechunk(reads) == (((0.2, b"he"), (0.3, b"llo"), (0.5, b"!?")), True)


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\nhello\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"11111111111111111\r\n",
        b"<html>\r\n",
    ],
)
def test_broken_framing_is_the_upstreams_fault(wire: bytes) -> None:
    for reads in (_reads(wire), _reads(wire, *range(len(wire)))):
        with pytest.raises(UpstreamProtocolError):
            dechunk(reads)


@pytest.mark.parametrize("wire", [b"5;" + b"a" * MAX_SIZE_LINE_BYTES, b"0\r\n" + b"a: b\r\n" * (MAX_TRAILER_BYTES // 6 + 1)])
def test_size_lines_and_trailers_are_bounded(wire: bytes) -> None:
    for reads in (_reads(wire), _reads(wire, *range(0, len(wire), 7))):
        with pytest.raises(UpstreamProtocolError, match="longer than"):
            dechunk(reads)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30)), st.lists(st.integers(0, 400)))
def test_any_cut_of_a_chunked_body_decodes_alike(pieces: list[bytes], cuts: list[int]) -> None:
    decoded, is_complete = dechunk(_reads(_chunked(*pieces), *cuts))
    assert (_body(decoded), is_complete) == (b"".join(pieces), True)
    assert all(piece for _, piece in decoded)


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=60), st.lists(st.sampled_from([b"5", b"\r", b"\n", b"0", b";", b"a", b"hello"])).map(b"".join)),
    st.lists(st.integers(0, 60)),
)
def test_any_cut_of_any_bytes_dechunks_alike(wire: bytes, cuts: list[int]) -> None:
    def outcome(reads: tuple[Read, ...]) -> object:
        try:
            decoded, is_complete = dechunk(reads)
        except UpstreamProtocolError:
            return "broken"
        return _body(decoded), is_complete

    assert outcome(_reads(wire, *cuts)) == outcome(_reads(wire))


# --- content codings ------------------------------------------------------------------------------------------------------

_CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}


@settings(deadline=None)
@given(st.sampled_from(sorted(_CODERS)), st.binary(max_size=300), st.lists(st.integers(0, 400)))
def test_any_cut_of_a_coded_body_decodes_alike(coding: bytes, body: bytes, cuts: list[int]) -> None:
    decoded = decode_content(_reads(_CODERS[coding](body), *cuts), coding, MIB)
    assert _body(decoded) == body
    assert all(piece for _, piece in decoded)


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 400)))
def test_deflate_without_its_zlib_frame_is_taken_too(body: bytes, cuts: list[int]) -> None:
    assert _body(decode_content(_reads(_bare_deflate(body), *cuts), b"deflate", MIB)) == body


@settings(deadline=None)
@given(
    st.sampled_from([b"gzip", b"deflate"]), st.binary(max_size=60), st.integers(0, 60), st.binary(max_size=6), st.lists(st.integers(0, 60))
)
def test_any_cut_of_damaged_data_ends_alike(coding: bytes, body: bytes, at: int, damage: bytes, cuts: list[int]) -> None:
    coded = _CODERS[coding](body)
    wire = coded[:at] + damage + coded[at:]

    def outcome(reads: tuple[Read, ...]) -> object:
        try:
            return _body(decode_content(reads, coding, MIB))
        except UpstreamProtocolError:
            return "damaged"

    assert outcome(_reads(wire, *cuts)) == outcome(_reads(wire))


def test_each_decoded_piece_has_the_time_of_the_read_that_released_it() -> None:
    engine = zlib.compressobj(wbits=31)
    first = engine.compress(b"one") + engine.flush(zlib.Z_SYNC_FLUSH)
    second = engine.compress(b"two") + engine.flush()
    reads = ((0.1, first[:5]), (0.2, first[5:]), (0.3, second[:-8]), (0.4, second[-8:]))
    assert decode_content(reads, b"gzip", MIB) == ((0.2, b"one"), (0.3, b"two"))


def test_identity_and_nothing_drop_only_empty_reads() -> None:
    reads = ((0.1, b"a"), (0.2, b""), (0.3, b"b"))
    for coding in (None, b"", b"identity", b" Identity , "):
        assert decode_content(reads, coding, MIB) == ((0.1, b"a"), (0.3, b"b"))


def test_codings_on_top_of_each_other_are_undone_in_reverse() -> None:
    wire = gzip.compress(zlib.compress(b"hello"))
    assert _body(decode_content(_reads(wire, 7, 20), b"deflate, GZIP", MIB)) == b"hello"
    with pytest.raises(UpstreamProtocolError, match="on top of each other"):
        decode_content(_reads(b""), b",".join([b"gzip"] * 100), MIB)


def test_gzip_members_after_each_other_are_one_body() -> None:
    wire = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    for cuts in ((), range(len(wire))):
        assert _body(decode_content(_reads(wire, *cuts), b"gzip", MIB)) == b"one two"


@pytest.mark.parametrize("rest", [b"\0", b"\0\0\0", b"garbage", b"\x1f\x8c"])
def test_what_follows_the_compressed_data_is_left_out(rest: bytes) -> None:
    for coding, coder in ((b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", _bare_deflate)):
        wire = coder(b"hello") + rest
        for cuts in ((), range(len(wire))):
            assert _body(decode_content(_reads(wire, *cuts), coding, MIB)) == b"hello"


def test_a_cut_body_decodes_as_far_as_it_goes() -> None:
    engine = zlib.compressobj(wbits=31)
    wire = engine.compress(b"one") + engine.flush(zlib.Z_SYNC_FLUSH)
    assert _body(decode_content(_reads(wire), b"gzip", MIB)) == b"one"


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br", b"compress"])
def test_an_unknown_coding_is_named(coding: bytes) -> None:
    assert not can_decode(coding)
    with pytest.raises(UpstreamProtocolError, match=codings_of(coding)[-1]):
        decode_content(_reads(b"x"), coding, MIB)


@pytest.mark.parametrize(
    ("coding", "wire"), [(b"gzip", b"hello"), (b"gzip", gzip.compress(b"a" * 99, mtime=0)[:-5] + b"xxxxx"), (b"deflate", b"\xff\xff")]
)
def test_damaged_data_is_the_upstreams_fault(coding: bytes, wire: bytes) -> None:
    assert can_decode(coding)
    with pytest.raises(UpstreamProtocolError, match="damaged"):
        decode_content(_reads(wire), coding, MIB)


def test_the_output_may_be_as_long_as_the_bound_and_no_longer() -> None:
    for coding, coder in _CODERS.items():
        assert len(_body(decode_content(_reads(coder(b"a" * 1000)), coding, 1000))) == 1000
        for cuts in ((), range(1200)):
            with pytest.raises(BoundExceeded, match="999 bytes"):
                decode_content(_reads(coder(b"a" * 1000), *cuts), coding, 999)


def test_a_gzip_bomb_takes_no_memory() -> None:
    bomb = gzip.compress(bytes(100 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(BoundExceeded):
            decode_content(_reads(bomb), b"gzip", MIB)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_great_many_gzip_members_cost_linear_time() -> None:
    """zlib copies everything behind a finished member: fed in one piece, these 4 MiB would copy 400 GB and outlast the time limit."""
    member = gzip.compress(b"")
    assert decode_content(_reads(member * 200_000), b"gzip", MIB) == ()
