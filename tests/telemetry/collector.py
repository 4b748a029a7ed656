"""A collector on loopback that speaks OTLP/HTTP with protobuf, and exchanges to tell it of."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shadowproxy.config import build
from shadowproxy.exchange import Answer, Choice, Comparison, Exchange, Outcome, Reply, Request, Timing, Usage
from shadowproxy.telemetry.otel import Telemetry


@dataclass
class Collector:
    """What came in, decoded."""

    url: str = ""
    status: int = 200
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [span for each in self.traces for resource in each.resource_spans for scope in resource.scope_spans for span in scope.spans]

    def span_of(self, arm: str) -> Span:
        (found,) = [span for span in self.spans if plain(span.attributes).get("shadowproxy.arm") == arm]
        return found

    @property
    def resource(self) -> dict[str, Any]:
        last = (self.traces or self.metrics)[-1]
        return plain((last.resource_spans if self.traces else last.resource_metrics)[0].resource.attributes)  # type: ignore[union-attr]

    def points(self, name: str, arm: str = "", token: str = "") -> list[HistogramDataPoint]:
        """Points of one metric in the last export of it; of one arm and one type of token where these are given."""
        found: list[HistogramDataPoint] = []
        for each in self.metrics:
            for metric in metrics_of(each):
                if metric.name == name:
                    found = list(metric.histogram.data_points)
        wanted = {label: value for label, value in (("shadowproxy.arm", arm), ("gen_ai.token.type", token)) if value}
        return [point for point in found if wanted.items() <= plain(point.attributes).items()]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if self.status == 200:
            message = ExportTraceServiceRequest() if request.path == "/v1/traces" else ExportMetricsServiceRequest()
            message.ParseFromString(body)
            (self.traces if request.path == "/v1/traces" else self.metrics).append(message)  # type: ignore[arg-type]
        return web.Response(status=self.status)


def metrics_of(message: ExportMetricsServiceRequest) -> Iterator[Any]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/{signal:traces|metrics}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        made.url = f"http://{host}:{port}"
        yield made
    finally:
        await runner.cleanup()


# --- what is told -------------------------------------------------------------------------------------------------------

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01".encode()


def telemetry(**section: object) -> Telemetry:
    from shadowproxy.telemetry.loading import load

    config = build(
        {
            "primary": {"url": "http://primary.internal:8000"},
            "control": {"percent": 100},
            "candidates": [{"name": "v2", "url": "https://api.mistral.ai", "model": "mistral-small"}],
            "embed": {"backend": "none"},
            "telemetry": section,
        }
    )
    made = load(config)
    assert isinstance(made, Telemetry)
    return made


def exchange(arm: str = "primary", **changes: Any) -> Exchange:
    body = orjson.dumps({"model": "llama", "stream": True, "temperature": 0.5, "messages": [{"role": "user", "content": "capital?"}]})
    headers = tuple((name.encode(), value) for name, value in changes.pop("headers", {"traceparent": TRACEPARENT}).items())
    fields: dict[str, Any] = {
        "id": "req-1",
        "arm": arm,
        "route": "chat",
        "request": Request("POST", "/v1/chat/completions", headers, changes.pop("body", body)),
        "reply": Reply(200, ((b"content-type", b"text/event-stream"),), ((0.25, b"data: {}"), (0.5, b"data: [DONE]"))),
        "outcome": Outcome.OK,
        "issued_at_s": 1_700_000_000.0,
        "duration_s": 0.5,
    }
    return Exchange(**{**fields, **changes})


def answer(text: str = "Paris.", **changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "dialect": "chat",
        "choices": (Choice(text, finish_reason="stop"),),
        "usage": Usage(7, 3),
        "model": "llama-3.1",
        "is_streamed": True,
        "content_at_s": (0.3, 0.5),
    }
    return Answer(**{**fields, **changes})


def comparison(arm: str = "v2", **changes: Any) -> Comparison:
    fields: dict[str, Any] = {
        "arm": arm,
        "outcome": Outcome.OK,
        "similarity": 0.875,
        "is_exact": False,
        "is_equal_normalised": False,
        "primary_timing": Timing(0.3, None, 0.5),
        "timing": Timing(0.3, None, 0.5),
    }
    return Comparison(**{**fields, **changes})
