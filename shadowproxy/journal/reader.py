"""Records out of segments, whatever a crash or a disk has done to them.

A torn end loses the frame that was being written. A damaged middle is named by segment and offset and passed over; everything around it
is read. Plain ``.jsonl`` files of records are read, too, so that a journal can be cut and edited with common tools.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

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
    return (record for _, record in located(segment, unseal, on_damage))


class Place(NamedTuple):
    """Where in its segment a line is found again: the ``offset`` of its frame (of a plain file: its own), and its number in there."""

    offset: int
    line: int


def located(segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[Place, Record]]:
    """The records of one segment and where they are, for :func:`lines_at`."""
    decoder = msgspec.json.Decoder(Record)
    for place, line in lines_of(segment, unseal, on_damage):
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            on_damage(Damage(segment, place.offset, f"holds a line that is no record ({exc})"))
            continue
        if record.v > VERSION:
            on_damage(Damage(segment, place.offset, f"holds a record of version {record.v}; this program knows {VERSION}"))
        else:
            yield place, record


def lines_of(segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[Place, bytes]]:
    """The lines of one segment, whatever they hold."""
    with open_binary(segment) as file:
        if segment.endswith(_PLAIN):
            yield from _plain(file, segment, on_damage)
        else:
            yield from _framed(file, segment, unseal, on_damage)


def lines_at(file: BinaryIO, offset: int, unseal: Unseal | None, *, is_plain: bool) -> list[bytes]:
    """The lines of the frame at ``offset`` of an open segment; of a plain file the one line there. Raises ``ValueError`` where there is no
    frame any more."""
    file.seek(offset)
    if is_plain:
        return [file.readline(MAX_FRAME_BYTES).strip()]
    part = next(scan(file), None)
    if not isinstance(part, Frame):
        raise ValueError(f"holds no frame at byte {offset} any more")
    return [line for line in unpack(part, unseal).split(b"\n") if line]


def is_plain(segment: str) -> bool:
    """A file of lines without frames."""
    return segment.endswith(_PLAIN)


def _framed(file: BinaryIO, segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[Place, bytes]]:
    for part in scan(file):
        if isinstance(part, Gap):
            on_damage(Damage(segment, part.offset, f"{part.problem} ({part.length} bytes)", part.is_end))
        else:
            yield from _lines(part, segment, unseal, on_damage)


def _lines(frame: Frame, segment: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[Place, bytes]]:
    try:
        lines = unpack(frame, unseal)
    except ValueError as exc:
        on_damage(Damage(segment, frame.offset, f"a frame of {frame.records} records {exc}"))
        return
    for number, line in enumerate(line for line in lines.split(b"\n") if line):
        yield Place(frame.offset, number), line


def _plain(file: BinaryIO, segment: str, on_damage: Callable[[Damage], None]) -> Iterator[tuple[Place, bytes]]:
    offset = 0
    while line := file.readline(MAX_FRAME_BYTES):
        if line.endswith(b"\n"):
            if text := line.strip():
                yield Place(offset, 0), text
        elif _is_whole(line):
            yield Place(offset, 0), line
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
