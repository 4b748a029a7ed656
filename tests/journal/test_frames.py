"""Frames are found again whatever happens to the bytes between them."""

from __future__ import annotations

import io
import shutil
import subprocess

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.journal.frames import MAX_FRAME_BYTES, Frame, Gap, Packer, scan, unpack

PACKER = Packer()
LINES = [b'{"n": %d}\n' % number for number in range(4)]
FRAMES = [PACKER.pack(line * 50, 50) for line in LINES]
SEGMENT = b"".join(FRAMES)


def _read(segment: bytes) -> tuple[list[bytes], list[Gap]]:
    parts = list(scan(io.BytesIO(segment)))
    return [unpack(part, None) for part in parts if isinstance(part, Frame)], [part for part in parts if isinstance(part, Gap)]


def test_a_segment_gives_its_frames() -> None:
    lines, gaps = _read(SEGMENT)
    assert lines == [line * 50 for line in LINES]
    assert gaps == []


def test_a_segment_is_a_zst_file() -> None:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(SEGMENT), read_across_frames=True) as reader:
        assert reader.read() == b"".join(line * 50 for line in LINES)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd command is not installed")
def test_the_zstd_command_reads_it() -> None:
    done = subprocess.run(["zstd", "-dc"], input=SEGMENT, capture_output=True, check=True)
    assert done.stdout == b"".join(line * 50 for line in LINES)


@given(st.integers(0, len(SEGMENT)))
def test_a_torn_end_costs_the_torn_frame_alone(end: int) -> None:
    lines, gaps = _read(SEGMENT[:end])
    whole = [number for number in range(len(FRAMES)) if sum(map(len, FRAMES[: number + 1])) <= end]
    assert lines == [LINES[number] * 50 for number in whole]
    assert all(gap.is_end for gap in gaps)
    assert sum(gap.length for gap in gaps) == end - sum(len(FRAMES[number]) for number in whole)


@given(st.integers(0, len(SEGMENT) - 1), st.integers(1, 255))
def test_a_spoilt_byte_costs_its_frame_alone(place: int, change: int) -> None:
    spoilt = bytearray(SEGMENT)
    spoilt[place] ^= change
    lines, gaps = _read(bytes(spoilt))
    hit = next(number for number in range(len(FRAMES)) if sum(map(len, FRAMES[: number + 1])) > place)
    assert lines == [LINES[number] * 50 for number in range(len(FRAMES)) if number != hit]
    assert [gap.offset for gap in gaps] == [sum(map(len, FRAMES[:hit]))]


@settings(max_examples=50)
@given(st.binary(max_size=200), st.integers(0, len(FRAMES)))
def test_what_somebody_put_between_frames_is_passed_over(rubbish: bytes, place: int) -> None:
    lines, gaps = _read(b"".join((*FRAMES[:place], rubbish, *FRAMES[place:])))
    assert lines == [line * 50 for line in LINES]
    assert sum(gap.length for gap in gaps) == len(rubbish)


def test_a_frame_that_was_cut_hides_none_behind_it() -> None:
    """A full disk may leave half a frame, and what comes next begins within its announced length."""
    lines, gaps = _read(FRAMES[0][:-5] + b"".join(FRAMES[1:]))
    assert lines == [line * 50 for line in LINES[1:]]
    assert "damaged frame of 50 records" in gaps[0].problem


def test_a_sealed_frame_is_empty_to_who_has_no_key() -> None:
    sealed = Packer(seal=lambda data: data[::-1]).pack(LINES[0], 1)
    frame = next(scan(io.BytesIO(sealed)))
    assert isinstance(frame, Frame)
    with pytest.raises(ValueError, match="--identity"):
        unpack(frame, None)
    assert unpack(frame, lambda data: data[::-1]) == LINES[0]
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(sealed), read_across_frames=True) as reader:
        assert reader.read() == b""


def test_a_small_frame_that_would_grow_past_the_bound_is_refused() -> None:
    compressor = zstandard.ZstdCompressor()
    bomb = compressor.compress(b"\0" * (MAX_FRAME_BYTES + 1))
    with pytest.raises(ValueError, match="grows beyond"):
        unpack(Frame(0, 1, bomb, is_sealed=False), None)
