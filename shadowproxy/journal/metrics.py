"""What the journal counts. Rows of the table in ``counts``."""

from __future__ import annotations

from shadowproxy.counts import Metric

JOURNAL_RECORDS = Metric(
    "shadowproxy_journal_records_total",
    ("result",),
    "Requests offered to the journal: written, or lost to queue_full, too_large, write_failed or record_failed.",
)
JOURNAL_EXCHANGES = Metric("shadowproxy_journal_exchanges_total", (), "Exchanges written to the journal, of all arms.")
JOURNAL_BYTES = Metric("shadowproxy_journal_bytes_total", (), "Bytes written to the journal, compressed.")
JOURNAL_SEGMENTS = Metric(
    "shadowproxy_journal_segments_total",
    ("event",),
    "Segments of the journal: opened, shipped, ship_failed, and removed (here and at the URL) because max_bytes was reached.",
)
JOURNAL_REDACTIONS = Metric("shadowproxy_journal_redactions_total", ("kind",), "Values replaced before the journal was written, by kind.")
JOURNAL_WAITING = Metric("shadowproxy_journal_waiting_records", (), "Records that wait for the journal's thread.", "gauge")

JOURNAL_METRICS = (JOURNAL_RECORDS, JOURNAL_EXCHANGES, JOURNAL_BYTES, JOURNAL_SEGMENTS, JOURNAL_REDACTIONS, JOURNAL_WAITING)
