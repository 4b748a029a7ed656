"""Segments: files of frames in one folder, begun anew by size and age, oldest gone first.

A writer only ever appends to a segment that it began itself: what an earlier process left behind, torn or whole, is never touched again,
and processes that run side by side during a reload do not meet. Names sort by time.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from shadowproxy.config import Journal
from shadowproxy.errors import StartError

#: How every segment's name ends.
SUFFIX = ".jsonl.zst"


@dataclass(slots=True)
class SegmentCounts:
    """What became of segments, since this writer began."""

    opened: int = 0
    removed: int = 0
    removed_bytes: int = 0


class SegmentWriter:
    """Appends frames. Used by one thread. ``now_s`` is monotonic time."""

    def __init__(self, folder: Path, section: Journal, writer: str) -> None:
        """``writer`` tells this process from others. Raises :class:`StartError` where the folder cannot be written."""
        self.folder = folder
        self.counts = SegmentCounts()
        self._section = section
        self._writer = writer
        self._number = 0
        self._descriptor = -1
        self._path = folder
        self._size = 0
        self._opened_at_s = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / f".{writer}"
            probe.touch(0o600)
            probe.unlink()
        except OSError as exc:
            remedy = "choose a folder for the journal that can be written"
            raise StartError(f"cannot use {folder} for the journal: {exc.strerror or exc}; {remedy}") from exc

    @property
    def open_path(self) -> Path | None:
        """The segment that is being written."""
        return self._path if self._descriptor >= 0 else None

    def append(self, frame: bytes, now_s: float) -> None:
        """Write one frame. On ``OSError`` (a full disk) nothing of it stays, and the next goes into a new segment."""
        if self._descriptor < 0:
            self._open(now_s)
        try:
            _write_all(self._descriptor, frame)
            if self._section.fsync == "frame":
                os.fsync(self._descriptor)
        except OSError:
            self._give_up()
            raise
        self._size += len(frame)

    def is_due(self, now_s: float) -> bool:
        """The open segment is large or old enough."""
        if self._descriptor < 0:
            return False
        return self._size >= self._section.segment_bytes or now_s - self._opened_at_s >= self._section.segment_s

    def finish(self) -> Path | None:
        """Close the open segment; its path, None where none is open."""
        if self._descriptor < 0:
            return None
        try:
            if self._section.fsync != "never":
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1
        return self._path

    def _open(self, now_s: float) -> None:
        self._number += 1
        moment = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(moment)) + f"{int(moment % 1 * 1000):03d}Z"
        self._path = self.folder / f"{stamp}-{self._writer}-{self._number:06d}{SUFFIX}"
        self._make_room()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size, self._opened_at_s = 0, now_s
        self.counts.opened += 1

    def _make_room(self) -> None:
        """Remove the oldest until a whole new segment has room."""
        sizes = [(path, size_of(path)) for path in segments_in(self.folder)]
        excess = sum(size for _, size in sizes) + self._section.segment_bytes - self._section.max_bytes
        for path, size in sizes:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size
            self.counts.removed += 1
            self.counts.removed_bytes += size

    def _give_up(self) -> None:
        """Cut off what was written of the last frame, as far as the disk lets us; a reader passes over it otherwise."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            pass
        finally:
            os.close(self._descriptor)
            self._descriptor = -1


def segments_in(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX) and path.is_file())


def size_of(path: Path) -> int:
    """0 where another process has removed it meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
