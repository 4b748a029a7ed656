"""Between the SDK and the collector: what was sent, lost or dropped is counted, and a collector that is away is told of now and then.

The SDK's own log lines come with every failed attempt; here they are let through once in a while, under our name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = logging.getLogger(__name__)

#: Between two lines of the same text. A collector may be away for days.
_STORY_EVERY_S = 60.0


class Tally:
    """What became of spans, and of collections of metrics. Each number is written by one thread only, and read by any.

    ``most`` is how many spans may wait.
    """

    __slots__ = ("accepted", "dropped", "exported", "failed", "metrics_exported", "metrics_failed", "most")

    def __init__(self) -> None:
        self.accepted = 0
        self.dropped = 0
        self.exported = 0
        self.failed = 0
        self.metrics_exported = 0
        self.metrics_failed = 0
        self.most = 0

    @property
    def is_full(self) -> bool:
        """True where the next finished span would be dropped."""
        return self.waiting >= self.most

    @property
    def waiting(self) -> int:
        """Spans in the queue or on their way."""
        return self.accepted - self.exported - self.failed


class BoundedSpanProcessor(SpanProcessor):
    """Lets a finished span into the SDK's queue while not too many wait; else drops and counts it. The SDK would drop, too, but where
    nobody sees it, and what is on its way to a slow collector would not count as waiting."""

    def __init__(self, queue: SpanProcessor, tally: Tally) -> None:
        self._queue = queue
        self._tally = tally

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._queue.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if self._tally.is_full:
            self._tally.dropped += 1
        else:
            self._tally.accepted += 1
            self._queue.on_end(span)

    def shutdown(self) -> None:
        self._queue.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._queue.force_flush(timeout_millis)


class CountedSpanExporter(SpanExporter):
    """Counts what ``exporter`` sent and lost."""

    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        self._exporter = exporter
        self._tally = tally
        self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._is_shut:
            return SpanExportResult.FAILURE  # already counted as dropped
        try:
            result = self._exporter.export(spans)
        except Exception as exc:  # noqa: BLE001 - on the SDK's thread: whatever a transport raises, the spans are lost and counted
            _log.warning("spans could not be sent (%s)", type(exc).__name__)
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._tally.exported += len(spans)
        else:
            self._tally.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """Give up retries at once. May be called twice: by us when time is over, and by the SDK's own thread."""
        if not self._is_shut:
            self._is_shut = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class CountedMetricExporter(MetricExporter):
    """Counts what ``exporter`` sent and lost. What is lost is not missing for long: sums are cumulative unless asked for otherwise."""

    def __init__(self, exporter: MetricExporter, tally: Tally) -> None:
        # The SDK reads these off the exporter; it has no public way to ask.
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001
        self._exporter = exporter
        self._tally = tally
        self._is_shut = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        try:
            result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        except Exception as exc:  # noqa: BLE001 - as for spans
            _log.warning("metrics could not be sent (%s)", type(exc).__name__)
            result = MetricExportResult.FAILURE
        if result is MetricExportResult.SUCCESS:
            self._tally.metrics_exported += 1
        else:
            self._tally.metrics_failed += 1
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if not self._is_shut:
            self._is_shut = True
            self._exporter.shutdown(timeout_millis, **kwargs)


class SeldomHandler(logging.Handler):
    """Log lines of the SDK: each text once a minute at most, without the secrets that a transport may quote."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._secrets = tuple(secret for secret in secrets if secret)
        self._told_at: dict[str, float] = {}
        self._kept = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        text = str(record.msg)  # before its arguments: those change with every attempt
        if now - self._told_at.get(text, -_STORY_EVERY_S) < _STORY_EVERY_S:
            self._kept += 1
            return
        if len(self._told_at) > 100:
            self._told_at.clear()
        self._told_at[text] = now
        line = record.getMessage()
        for secret in self._secrets:
            line = line.replace(secret, "***")
        kept, self._kept = self._kept, 0
        _log.log(min(record.levelno, logging.WARNING), "OpenTelemetry: %s%s", line, f" ({kept} more lines kept back)" if kept else "")


class QuietSdk:
    """Has ``handler`` alone hear the SDK's loggers until it is undone. A process has one."""

    def __init__(self, handler: logging.Handler) -> None:
        self._logger = logging.getLogger("opentelemetry")
        self._logger.handlers[:] = [handler]
        self._logger.propagate = False

    def undo(self) -> None:
        self._logger.handlers.clear()
        self._logger.propagate = True
