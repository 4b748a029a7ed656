"""Frames: some records compressed together, behind a head that finds the next one again. What a segment is a sequence of.

A segment is a valid ``.zst`` file: a head is a skippable frame (RFC 8878 section 3.1.2), which ``zstdcat segment | jq`` passes over. A
frame stands on its own, so whatever a crash tears off or a disk spoils costs that frame alone: behind it the next head is found by its
mark. A sealed frame's contents are skippable, too: without the key a segment looks empty.

Head (32 bytes): magic and length of the skippable frame, then ``SPJ1``, flags (1 = sealed), records, bytes of the frame, CRC-32 of the
frame, CRC-32 of this head; little-endian.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import zstandard

_HEAD = struct.Struct("<II4sIIIII")
_HEAD_MAGIC, _SEALED_MAGIC = 0x184D2A5A, 0x184D2A5B
_SKIPPABLE = struct.Struct("<II")
_MARK = b"SPJ1"
#: How every head begins.
_BEGIN = _SKIPPABLE.pack(_HEAD_MAGIC, _HEAD.size - _SKIPPABLE.size) + _MARK
_SEALED = 1

#: Longest frame, compressed or not. A writer's own bounds keep far below it; past it a length is damage, and a small frame that grows to
#: more is a bomb.
MAX_FRAME_BYTES = 256 * 1024 * 1024

_SEARCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """``payload`` as it stands on the disk. ``offset`` is where its head begins."""

    offset: int
    records: int
    payload: bytes
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """``length`` bytes at ``offset`` that hold no frame. ``is_end``: nothing comes behind them, as a crash of the writer leaves it."""

    offset: int
    length: int
    problem: str
    is_end: bool = False


class Packer:
    """Makes frames. ``seal`` encrypts what is compressed already."""

    def __init__(self, level: int = 3, seal: Callable[[bytes], bytes] | None = None) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._seal = seal

    def pack(self, lines: bytes, records: int) -> bytes:
        """A frame of ``lines``, which end with a line break each."""
        payload = self._compressor.compress(lines)
        if self._seal is not None:
            sealed = self._seal(payload)
            payload = _SKIPPABLE.pack(_SEALED_MAGIC, len(sealed)) + sealed
        return _head(records, payload, 0 if self._seal is None else _SEALED) + payload


def _head(records: int, payload: bytes, flags: int) -> bytes:
    fields = (_HEAD_MAGIC, _HEAD.size - _SKIPPABLE.size, _MARK, flags, records, len(payload), zlib.crc32(payload))
    return _HEAD.pack(*fields, zlib.crc32(_HEAD.pack(*fields, 0)))


def unpack(frame: Frame, unseal: Callable[[bytes], bytes] | None) -> bytes:
    """The lines of a frame. Raises ``ValueError`` that says why they cannot be had."""
    payload = frame.payload
    if frame.is_sealed:
        if unseal is None:
            raise ValueError("is sealed; give the key to open it with --identity FILE")
        payload = unseal(payload[_SKIPPABLE.size :])
    try:
        size = zstandard.get_frame_parameters(payload).content_size
        if size > MAX_FRAME_BYTES:
            raise ValueError(f"says that it grows beyond {MAX_FRAME_BYTES} bytes")
        return zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError as exc:
        raise ValueError(f"does not decompress ({exc})") from exc


def scan(file: BinaryIO) -> Iterator[Frame | Gap]:
    """Everything in a segment, in order: its frames, and the gaps between them."""
    offset = 0
    while head := file.read(_HEAD.size):
        found = _read(file, offset, head)
        if isinstance(found, Frame):
            yield found
            offset += _HEAD.size + len(found.payload)
            continue
        following = _next_head(file, offset + 1)
        yield Gap(offset, following - offset, found, is_end=following == file.seek(0, os.SEEK_END))
        offset = file.seek(following)


def _read(file: BinaryIO, offset: int, head: bytes) -> Frame | str:
    """The frame that begins here, or why there is none."""
    if len(head) < _HEAD.size:
        return "ends within the head of a frame"
    *fields, check = _HEAD.unpack(head)
    if not head.startswith(_BEGIN) or zlib.crc32(_HEAD.pack(*fields, 0)) != check:
        return "is not the head of a frame"
    _, _, _, flags, records, size, crc = fields
    if size > MAX_FRAME_BYTES:
        return f"announces a frame of {size} bytes; the bound is {MAX_FRAME_BYTES}"
    payload = file.read(size)
    if len(payload) < size:
        return f"ends within a frame of {records} records"
    if zlib.crc32(payload) != crc:
        return f"holds a damaged frame of {records} records"
    return Frame(offset, records, payload, bool(flags & _SEALED))


def _next_head(file: BinaryIO, offset: int) -> int:
    """Where the next mark of a head is, else the end of the file."""
    file.seek(offset)
    tail = b""
    while piece := file.read(_SEARCH_BYTES):
        place = (tail + piece).find(_BEGIN)
        if place >= 0:
            return offset - len(tail) + place
        offset += len(piece)
        tail = (tail + piece)[-len(_BEGIN) + 1 :]
    return offset
