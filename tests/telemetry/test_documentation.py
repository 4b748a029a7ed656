"""docs/telemetry.md is complete: its configuration loads, and everything that is sent stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from shadowproxy.config import build
from shadowproxy.exchange import Divergence, Outcome, Severity

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")


def test_configuration_loads() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert build(yaml.safe_load(block)).telemetry is not None


async def test_everything_that_is_sent_is_documented() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    from tests.telemetry.collector import answer, collector, comparison, exchange, metrics_of, plain, telemetry

    async with collector() as seen:
        teller = telemetry(endpoint=seen.url, capture_content=True)
        found = comparison(divergences=(Divergence("text.length", Severity.MINOR, "a", "b"),))
        failed = exchange("control", outcome=Outcome.TIMEOUT, reply=None)
        teller.compared(exchange(), answer(), ((exchange("v2"), answer(), found), (failed, None, comparison("control"))))
        await teller.close(5)
        sent = {key for span in seen.spans for key in plain(span.attributes)}
        sent |= {name for span in seen.spans for event in span.events for name in (event.name, *plain(event.attributes))}
        sent |= {metric.name for message in seen.metrics for metric in metrics_of(message)}
        sent -= {"shadowproxy.divergence.primary", "shadowproxy.divergence.other"}  # "both sides of each divergence"
    assert len(sent) > 30
    shortened = {f"gen_ai.request{end}" for end in re.findall(r"`(\.[a-z_.]+)`", TEXT)}
    assert {name for name in sent if f"`{name}`" not in TEXT} <= shortened
