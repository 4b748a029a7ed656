"""Exchanges into a folder of segments: redacted, encoded, compressed, appended. Runs on the journal's thread, or in an import."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from shadowproxy.config import Journal
from shadowproxy.counts import JOURNAL_BYTES, JOURNAL_EXCHANGES, JOURNAL_RECORDS, JOURNAL_REDACTIONS, JOURNAL_SEGMENTS, Counts
from shadowproxy.exchange import Exchange
from shadowproxy.journal.frames import Packer
from shadowproxy.journal.redacting import recorder_for
from shadowproxy.journal.sealing import sealer
from shadowproxy.journal.segments import SegmentCounts, SegmentWriter
from shadowproxy.tasks import Guard

#: A frame is written when its lines have so many bytes, however few they are.
_FRAME_BYTES = 4 * 1024 * 1024

#: Longest sleep of the thread while nothing comes: segments also end by age.
_LOOK_S = 1.0


class JournalWriter:
    """Used by one thread; its counts may be read by others. Never raises once it is made."""

    def __init__(self, section: Journal, rollouts: Mapping[str, str], folder: Path) -> None:
        """Raises as :class:`JournalSink` does."""
        self.taken = self.taken_bytes = 0
        self.written = self.exchanges = self.bytes = 0
        self.lost = {"write_failed": 0, "record_failed": 0}
        self.redactions: dict[str, int] = {}
        self.on_finished: Callable[[], None] = lambda: None
        self._section = section
        self._recorder = recorder_for(section.redact, rollouts, self._count_redaction)
        self._encoder = msgspec.json.Encoder()
        self._packer = Packer(section.level, sealer(section.recipients) if section.recipients else None)
        self._segments = SegmentWriter(folder, section, secrets.token_hex(4))
        self._guard = Guard(self._count_loss)
        self._lines: list[bytes] = []
        self._line_bytes = 0
        self._line_exchanges = 0
        self._flush_at_s = 0.0

    @property
    def segments(self) -> SegmentCounts:
        """What became of segments."""
        return self._segments.counts

    @property
    def patience_s(self) -> float:
        """How long the thread may sleep while nothing comes."""
        return max(0.0, min(_LOOK_S, self._flush_at_s - time.monotonic())) if self._lines else _LOOK_S

    def open_path(self) -> Path | None:
        """The segment that is being written."""
        return self._segments.open_path

    def take(self, primary: Exchange, others: Sequence[Exchange], session: str = "", size_bytes: int = 0, source: str = "") -> None:
        """Write one request, with others that come soon."""
        with self._guard("record_failed"):
            line = self._encoder.encode(self._recorder.record(primary, others, session, source))
            self._add(line, 1 + len(others))
        self.taken += 1
        self.taken_bytes += size_bytes
        self.look()

    def look(self) -> None:
        """Write the frame and end the segment where it is time."""
        now_s = time.monotonic()
        if self._lines and (
            len(self._lines) >= self._section.flush_records or self._line_bytes >= _FRAME_BYTES or now_s >= self._flush_at_s
        ):
            self._flush(now_s)
        if self._segments.is_due(now_s):
            self._end_segment()

    def finish(self) -> None:
        """Write everything and end the segment."""
        if self._lines:
            self._flush(time.monotonic())
        self._end_segment()

    def report(self, counts: Counts) -> None:
        """Write into ``counts`` what this writer did so far."""
        counts.set(JOURNAL_RECORDS, "written", to=self.written)
        for reason, lost in self.lost.items():
            counts.set(JOURNAL_RECORDS, reason, to=lost)
        counts.set(JOURNAL_EXCHANGES, to=self.exchanges)
        counts.set(JOURNAL_BYTES, to=self.bytes)
        counts.set(JOURNAL_SEGMENTS, "opened", to=self.segments.opened)
        for kind, found in tuple(self.redactions.items()):
            counts.set(JOURNAL_REDACTIONS, kind, to=found)

    def _add(self, line: bytes, exchanges: int) -> None:
        if not self._lines:
            self._flush_at_s = time.monotonic() + self._section.flush_s
        self._lines.append(line)
        self._line_bytes += len(line) + 1
        self._line_exchanges += exchanges

    def _flush(self, now_s: float) -> None:
        lines, exchanges = self._lines, self._line_exchanges
        self._lines, self._line_bytes, self._line_exchanges = [], 0, 0
        before = self.lost["write_failed"]
        with self._guard("write_failed"):
            frame = self._packer.pack(b"\n".join([*lines, b""]), len(lines))
            self._segments.append(frame, now_s)
            self.written += len(lines)
            self.exchanges += exchanges
            self.bytes += len(frame)
        if self.lost["write_failed"] > before:
            self.lost["write_failed"] = before + len(lines)  # every record of the frame is lost

    def _end_segment(self) -> None:
        with self._guard("write_failed"):
            if self._segments.finish() is not None:
                self.on_finished()

    def _count_loss(self, step: str) -> None:
        self.lost[step] += 1

    def _count_redaction(self, kind: str) -> None:
        self.redactions[kind] = self.redactions.get(kind, 0) + 1
