"""Records out of segments, whatever a crash or a disk has done to them.

A torn end loses the frame that was being written. A damaged middle is named by segment and offset and passed over; everything around it
is read. Plain ``.jsonl`` files of records are read, too, so that a journal can be cut and edited with common tools.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from shadowproxy.errors import InputError
from shadowproxy.journal.frames import MAX_FRAME_BYTES, Frame, Gap, scan, unpack
from shadowproxy.journal.places import files_at, name_of, open_binary
from shadowproxy.journal.records import VERSION, Record
from shadowproxy.journal.segments import SUFFIX

_log = logging.getLogger(__name__)

_PLAIN = ".jsonl"

Unseal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a segment that is no record. ``is_torn_end``: what a writer that was killed leaves behind, and no cause for concern."""

    segment: str
    offset: int
    problem: str
    is_torn_end: bool = False

    def __str__(self) -> str:
        return f"{self.segment}, byte {self.offset}: {self.problem}"


def read(place: str, *, unseal: Unseal | None = None, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Record]:
    """Every record at a path or URL: of one segment, or of a folder of them in the order of their names.

    ``on_damage`` is told of what had to be passed over; by default it is logged. Raises :class:`InputError` where nothing can be read.
    """
    tell = on_damage if on_damage is not None else _logged
    segments = segments_at(place)
    if not segments:
        raise InputError(f"{place}: holds no segment of a journal (*{SUFFIX}, *{_PLAIN}); give the folder that journal.to names")
    for segment in segments:
        yield from read_segment(segment, unseal, tell)


def segments_at(place: str) -> list[str]:
    """The segments at a path or URL, oldest first. Raises :class:`InputError` where there is no such place."""
    return files_at(place, (SUFFIX, _PLAIN))


def read_segment(segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[Record]:
    """The records of one segment."""
    decoder = msgspec.json.Decoder(Record)
    with open_binary(segment) as file:
        if not segment.endswith(_PLAIN):
            found = _framed(file, segment, unseal, on_damage)
        else:
            found = _plain(file, segment, on_damage)
        for offset, line in found:
            try:
                record = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                on_damage(Damage(segment, offset, f"holds a line that is no record ({exc})"))
                continue
            if record.v > VERSION:
                on_damage(Damage(segment, offset, f"holds a record of version {record.v}; this program knows {VERSION}"))
            else:
                yield record


def _framed(file: BinaryIO, segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[int, bytes]]:
    """(offset of the frame, line) of every line."""
    for part in scan(file):
        if isinstance(part, Gap):
            on_damage(Damage(segment, part.offset, f"{part.problem} ({part.length} bytes)", part.is_end))
        else:
            yield from _lines(part, segment, unseal, on_damage)


def _lines(frame: Frame, segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[int, bytes]]:
    try:
        lines = unpack(frame, unseal)
    except ValueError as exc:
        on_damage(Damage(segment, frame.offset, f"a frame of {frame.records} records {exc}"))
        return
    yield from ((frame.offset, line) for line in lines.split(b"\n") if line)


def _plain(file: BinaryIO, segment: str, on_damage: Callable[[Damage], None]) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while line := file.readline(MAX_FRAME_BYTES):
        if line.endswith(b"\n"):
            if text := line.strip():
                yield offset, text
        elif _is_whole(line):
            yield offset, line
        else:
            on_damage(Damage(segment, offset, f"ends within a line ({len(line)} bytes)", is_torn_end=True))
        offset += len(line)


def _is_whole(line: bytes) -> bool:
    """An editor may have left out the last line break."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _logged(damage: Damage) -> None:
    level = logging.INFO if damage.is_torn_end else logging.WARNING
    _log.log(level, "%s, byte %d: %s; passed over", name_of(damage.segment), damage.offset, damage.problem)
