"""Where the shadow process puts finished requests: a bounded queue, and behind it the thread that redacts, compresses and writes.

Offering never waits and never raises. What does not fit is dropped and counted; what fails is counted and told, and the thread goes on.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from shadowproxy.config import Journal
from shadowproxy.counts import (
    JOURNAL_RECORDS,
    JOURNAL_SEGMENTS,
    JOURNAL_WAITING,
    Counts,
)
from shadowproxy.exchange import Exchange
from shadowproxy.journal.places import is_url
from shadowproxy.journal.shipping import Shipper, spool_for
from shadowproxy.journal.writer import JournalWriter


class Sink(Protocol):
    """Who is told of finished requests."""

    def offer(self, primary: Exchange, others: Sequence[Exchange], session: str = "") -> None:
        """One request whose arms have all ended. ``session`` is whatever tells its session from others; empty for none."""

    def report(self, counts: Counts) -> None:
        """Write into ``counts`` what was written and what was lost so far."""

    async def close(self, within_s: float) -> None:
        """Write what waits, for at most this long."""


class NoSink:
    """Nobody is told."""

    def offer(self, primary: Exchange, others: Sequence[Exchange], session: str = "") -> None:
        """Nothing."""

    def report(self, counts: Counts) -> None:
        """Nothing."""

    async def close(self, within_s: float) -> None:
        """Nothing."""


class _Offer(NamedTuple):
    primary: Exchange
    others: Sequence[Exchange]
    session: str
    size_bytes: int


class JournalSink:
    """The journal of one process. ``rollouts``: candidate → rollout id."""

    def __init__(self, section: Journal, rollouts: Mapping[str, str]) -> None:
        """Raises :class:`~shadowproxy.errors.StartError` or :class:`~shadowproxy.errors.ConfigError` where the journal cannot be written as
        configured."""
        self._section = section
        self._waiting: queue.SimpleQueue[_Offer | None] = queue.SimpleQueue()
        self._offered = self._offered_bytes = 0  # written by who offers only, so that neither needs a lock
        self._dropped = {"queue_full": 0, "too_large": 0}
        is_shipped = is_url(section.to)
        folder = (section.spool or spool_for(section.to)) if is_shipped else Path(section.to)
        self._writer = JournalWriter(section, rollouts, folder)
        self._shipper = Shipper(section.to, folder, self._writer.open_path, section.max_bytes) if is_shipped else None
        self._writer.on_finished = self._shipper.wake if self._shipper is not None else lambda: None
        self._thread = threading.Thread(target=self._write_forever, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        if self._shipper is not None:
            self._shipper.start()
        self._thread.start()

    def offer(self, primary: Exchange, others: Sequence[Exchange], session: str = "") -> None:
        """See :class:`Sink`."""
        size_bytes = _bytes_of(primary) + len(primary.request.body) + sum(map(_bytes_of, others))
        if size_bytes > self._section.max_record_bytes:
            self._dropped["too_large"] += 1
        elif self._waiting_records >= self._section.queue_records or self._waiting_bytes + size_bytes > self._section.queue_bytes:
            self._dropped["queue_full"] += 1
        else:
            self._offered += 1
            self._offered_bytes += size_bytes
            self._waiting.put(_Offer(primary, tuple(others), session, size_bytes))

    def report(self, counts: Counts) -> None:
        """See :class:`Sink`."""
        for reason, dropped in self._dropped.items():
            counts.set(JOURNAL_RECORDS, reason, to=dropped)
        counts.set(JOURNAL_WAITING, to=self._waiting_records)
        self._writer.report(counts)
        if self._shipper is not None:
            counts.set(JOURNAL_SEGMENTS, "shipped", to=self._shipper.shipped)
            counts.set(JOURNAL_SEGMENTS, "ship_failed", to=self._shipper.failed)
        removed = self._writer.segments.removed + (self._shipper.removed if self._shipper is not None else 0)
        counts.set(JOURNAL_SEGMENTS, "removed", to=removed)

    async def close(self, within_s: float) -> None:
        """See :class:`Sink`."""
        await asyncio.to_thread(self.end, within_s)

    def end(self, within_s: float) -> None:
        """The same for who has no event loop."""
        if not self._thread.is_alive():
            return
        until = time.monotonic() + within_s
        self._waiting.put(None)
        self._thread.join(within_s)
        if self._shipper is not None:
            self._shipper.close(max(0.0, until - time.monotonic()))

    @property
    def _waiting_records(self) -> int:
        return self._offered - self._writer.taken

    @property
    def _waiting_bytes(self) -> int:
        return self._offered_bytes - self._writer.taken_bytes

    def _write_forever(self) -> None:
        while True:
            try:
                offer = self._waiting.get(timeout=self._writer.patience_s)
            except queue.Empty:
                self._writer.look()
                continue
            if offer is None:
                self._writer.finish()
                return
            self._writer.take(offer.primary, offer.others, offer.session, offer.size_bytes)


def _bytes_of(exchange: Exchange) -> int:
    return sum([len(piece) for _, piece in exchange.reply.reads]) if exchange.reply is not None else 0
