"""A collector that is away, slow or unwilling costs telemetry, which is counted, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shadowproxy.counts import TELEMETRY_METRIC_EXPORTS, TELEMETRY_SPANS, Counts
from shadowproxy.telemetry.sending import CountedSpanExporter, SeldomHandler, Tally
from tests.gateway.wires import until
from tests.telemetry.collector import answer, collector, comparison, exchange, telemetry

SECRET = "collector-secret-0123456789"


def tell(teller, times: int = 1) -> None:
    for _ in range(times):
        teller.compared(exchange(), answer(), ((exchange("v2"), answer(), comparison()),))


def counted(teller) -> dict[str, float]:
    counts = Counts()
    teller.report(counts)
    return {result: counts.get(TELEMETRY_SPANS, result) for result in ("exported", "failed", "dropped")}


async def test_what_was_sent_is_counted() -> None:
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url)
        tell(teller, 3)
        await teller.close(5)
        assert counted(teller) == {"exported": 3, "failed": 0, "dropped": 0}
        counts = Counts()
        teller.report(counts)
        assert counts.get(TELEMETRY_METRIC_EXPORTS, "exported") == len(seen.metrics) >= 1


async def test_spans_are_sent_without_waiting_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url)
        tell(teller)
        await until(lambda: len(seen.spans) == 1 and seen.points("gen_ai.client.operation.duration"))
        await teller.close(5)


async def test_unwilling_collector_is_counted_and_told_of_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    caplog.set_level(logging.INFO)
    async with collector() as seen:
        seen.status = 400
        teller = telemetry(endpoint=seen.url, metrics=False)
        for number in range(1, 6):
            tell(teller)
            await until(lambda number=number: counted(teller)["failed"] == number)
        await teller.close(5)
    assert counted(teller) == {"exported": 0, "failed": 5, "dropped": 0}
    lines = [record.getMessage() for record in caplog.records if "OpenTelemetry" in record.getMessage()]
    assert len(lines) == 1
    assert "400" in lines[0]
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


async def test_queue_is_bounded_and_what_it_drops_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        teller = telemetry(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", metrics=False)
        tell(teller, 100)
        assert counted(teller)["dropped"] == 90
        assert teller.tally.waiting == 10
        await teller.close(0.2)
        assert counted(teller) == {"exported": 0, "failed": 0, "dropped": 100}


async def test_the_end_is_bounded_where_a_collector_never_answers() -> None:
    """It takes the connection and says nothing; the SDK alone would wait for half a minute."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        teller = telemetry(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        tell(teller, 5)
        began = time.monotonic()
        await teller.close(0.3)
        assert time.monotonic() - began < 5
        assert counted(teller)["dropped"] == 5
        assert all(thread.daemon for thread in threading.enumerate() if "telemetry" in thread.name or "Otel" in thread.name)


async def test_telling_goes_on_while_a_collector_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(5)
        teller = telemetry(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", metrics=False)
        tell(teller)
        with (await asyncio.to_thread(silent.accept))[0]:
            tell(teller, 20)  # the exporter hangs on the first
            assert teller.tally.waiting == 21
            await teller.close(0.1)
    assert counted(teller)["dropped"] == 21


async def test_nothing_is_taken_after_the_end() -> None:
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url)
        await teller.close(5)
        tell(teller)
        assert counted(teller) == {"exported": 0, "failed": 0, "dropped": 0}
        assert teller.tally.waiting == 0


async def test_credential_and_headers_go_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", SECRET)
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url, auth={"env": "COLLECTOR_KEY"}, headers={"X-Scope-OrgID": "team-a"})
        tell(teller)
        await teller.close(5)
        assert len(seen.headers) == 2
        for headers in seen.headers:
            lower = {name.lower(): value for name, value in headers.items()}
            assert (lower["authorization"], lower["x-scope-orgid"]) == (f"Bearer {SECRET}", "team-a")
            assert lower["content-type"] == "application/x-protobuf"
        assert SECRET.encode() not in b"".join(seen.bodies)


def test_log_lines_are_seldom_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    handler = SeldomHandler((SECRET, ""))
    for number in range(50):
        handler.handle(logging.LogRecord("opentelemetry.x", logging.ERROR, "", 0, "attempt %s with %s", (number, SECRET), None))
    handler.handle(logging.LogRecord("opentelemetry.x", logging.ERROR, "", 0, "another", (), None))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["OpenTelemetry: attempt 0 with ***", "OpenTelemetry: another (49 more lines kept back)"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_exporter_that_raises_is_a_counted_failure() -> None:
    class Broken(SpanExporter):
        def export(self, spans):
            raise RuntimeError(SECRET)

    tally = Tally()
    assert CountedSpanExporter(Broken(), tally).export([None, None]) is SpanExportResult.FAILURE  # type: ignore[list-item]
    assert tally.failed == 2
