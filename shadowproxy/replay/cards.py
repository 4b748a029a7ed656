"""Lines in frames that are found again: where each is, one frame decompressed at a time. Between ``journal`` and whoever reads in another
order than that of writing."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from shadowproxy.errors import InputError
from shadowproxy.journal.places import open_binary
from shadowproxy.journal.reader import Place, Unseal, is_plain, lines_at

#: Frames kept decompressed. Lines are read nearly in the order of writing, a few writers side by side.
_KEPT = 64

#: Segments held open at once: a journal of a month has thousands, and a process may open a thousand files.
OPEN = 32


class Cards:
    """Where lines are: 24 bytes each, however long they are. ``segments`` are paths or URLs."""

    __slots__ = ("_lines", "_offsets", "_segments", "segments")

    def __init__(self, segments: Sequence[str] = ()) -> None:
        self.segments = list(segments)
        self._segments = array("i")
        self._offsets = array("q")
        self._lines = array("i")

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, segment: int, place: Place) -> int:
        """Remember a line; returns its card."""
        self._segments.append(segment)
        self._offsets.append(place.offset)
        self._lines.append(place.line)
        return len(self) - 1

    def chosen(self, order: Sequence[int]) -> Cards:
        """Some of them, in this order."""
        chosen = Cards(self.segments)
        chosen._segments = array("i", (self._segments[each] for each in order))
        chosen._offsets = array("q", (self._offsets[each] for each in order))
        chosen._lines = array("i", (self._lines[each] for each in order))
        return chosen

    def where(self, card: int) -> tuple[str, Place]:
        return self.segments[self._segments[card]], Place(self._offsets[card], self._lines[card])


class Shelf:
    """Reads lines by their cards. Use as a context manager: it holds segments open."""

    def __init__(self, cards: Cards, unseal: Unseal | None) -> None:
        self._cards = cards
        self._unseal = unseal
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def line(self, card: int) -> bytes:
        """Raises :class:`InputError` where the line is gone."""
        segment, place = self._cards.where(card)
        key = (segment, place.offset)
        lines = self._frames.get(key)
        if lines is None:
            lines = self._read(segment, place.offset)
            self._frames[key] = lines
            if len(self._frames) > _KEPT:
                self._frames.popitem(last=False)
        else:
            self._frames.move_to_end(key)
        if place.line >= len(lines):
            raise InputError(f"{segment}: was changed while it was read; leave it alone until the replay is done")
        return lines[place.line]

    def _read(self, segment: str, offset: int) -> list[bytes]:
        try:
            return lines_at(self._file(segment), offset, self._unseal, is_plain=is_plain(segment))
        except (OSError, ValueError) as exc:
            raise InputError(f"{segment}: {exc}; it was changed while it was read, or cannot be read twice") from exc

    def _file(self, segment: str) -> BinaryIO:
        """Open; the one that was read longest ago is closed for it."""
        file = self._files.get(segment)
        if file is None:
            while len(self._files) >= OPEN:
                self._files.popitem(last=False)[1].close()
            file = self._files[segment] = open_binary(segment)
        else:
            self._files.move_to_end(segment)
        return file
