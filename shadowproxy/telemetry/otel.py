"""Spans and metrics through the OpenTelemetry SDK. Imported only where the configuration asks for it: the SDK is an extra.

Runs in the shadow process, after the comparison. Finished spans wait in a bounded queue; the SDK's own threads send them, so a collector
that is slow or away costs telemetry, which is counted, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from shadowproxy.config import Telemetry as Section
from shadowproxy.counts import TELEMETRY_METRIC_EXPORTS, TELEMETRY_SPANS, Counts
from shadowproxy.exchange import Answer, Comparison, Exchange
from shadowproxy.telemetry.content import content_of, shown
from shadowproxy.telemetry.facts import (
    Asked,
    Attributes,
    Names,
    Target,
    asked_of,
    error_sentence,
    error_type,
    model_of,
    place,
    reply_facts,
    request_facts,
    shadow_facts,
    was_sent,
)
from shadowproxy.telemetry.instruments import Instruments
from shadowproxy.telemetry.parents import parent_of
from shadowproxy.telemetry.sending import BoundedSpanProcessor, CountedMetricExporter, CountedSpanExporter, QuietSdk, SeldomHandler, Tally

_log = logging.getLogger(__name__)

_SCOPE = "shadowproxy"
#: The conventions that names and buckets follow.
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

#: Queue and batch of the SDK where its environment variables say nothing: its own defaults.
_QUEUE_SPANS = 2048
_BATCH_SPANS = 512

#: Different model names per arm before ``_OTHER``. A gateway serves a handful; only junk comes in hundreds.
_MODELS = 20

#: Divergences told of one pair; there are some dozen kinds.
_DIVERGENCES = 32


class Telemetry:
    """Everything of one shadow process. ``targets`` has one entry per arm, the primary included."""

    def __init__(self, section: Section, targets: Mapping[str, Target]) -> None:
        """Raises ``ValueError`` where an environment variable of the SDK makes no sense, and
        :class:`~shadowproxy.errors.ConfigError` where the credential is missing."""
        self._targets = targets
        self._captures = section.capture_content
        self._is_open = True
        headers = _headers(section)
        self._quiet = QuietSdk(SeldomHandler(tuple(headers.values())))
        self.tally = Tally()
        resource = _resource(section.service_name)
        self._ids = _Ids()
        self._names = Names(_MODELS)
        self._ends: list[Callable[[int], None]] = []
        self._gives_up: list[Callable[[], None]] = []
        self._tracer: Tracer | None = self._trace(section, headers, resource) if section.spans else None
        self._instruments = self._measure(section, headers, resource) if section.metrics else None

    def _trace(self, section: Section, headers: dict[str, str], resource: Resource) -> Tracer:
        endpoint = f"{section.endpoint}/v1/traces" if section.endpoint else None
        exporter = CountedSpanExporter(OTLPSpanExporter(endpoint, headers=headers), self.tally)
        self.tally.most = _positive(OTEL_BSP_MAX_QUEUE_SIZE, _QUEUE_SPANS)
        batch = min(self.tally.most, _positive(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, _BATCH_SPANS))
        queue = BatchSpanProcessor(exporter, max_queue_size=self.tally.most, max_export_batch_size=batch)
        # shutdown_on_exit would wait half a minute for a collector that is away; close() has its own bound.
        provider = TracerProvider(_sampler(section.sample_percent), resource, shutdown_on_exit=False, id_generator=self._ids)
        provider.add_span_processor(BoundedSpanProcessor(queue, self.tally))
        self._ends.append(lambda _: provider.shutdown())
        self._gives_up.append(exporter.shutdown)
        return provider.get_tracer(_SCOPE, version("llm-shadowproxy"), schema_url=_SCHEMA_URL)

    def _measure(self, section: Section, headers: dict[str, str], resource: Resource) -> Instruments:
        endpoint = f"{section.endpoint}/v1/metrics" if section.endpoint else None
        exporter = CountedMetricExporter(OTLPMetricExporter(endpoint, headers=headers), self.tally)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource, shutdown_on_exit=False)
        self._ends.append(provider.shutdown)
        self._gives_up.append(exporter.shutdown)
        return Instruments(provider.get_meter(_SCOPE, version("llm-shadowproxy"), schema_url=_SCHEMA_URL), self._names)

    # --- in -----------------------------------------------------------------------------------------------------------

    def compared(
        self, primary: Exchange, primary_answer: Answer | None, others: Sequence[tuple[Exchange, Answer | None, Comparison]]
    ) -> None:
        """Tell of one request whose copies are all compared, each arm once. Does not wait for anything."""
        if not self._is_open:
            return
        asked = asked_of(primary.request)
        parent = parent_of(primary.request.headers) if self._tracer is not None else Context()
        for exchange, answer, comparison in others:
            target = self._targets[exchange.arm]
            span = self._span(asked, parent, target, primary, exchange, answer, comparison)
            if self._instruments is not None:
                self._instruments.record(target, asked, exchange, answer, comparison.similarity, span)
        if self._instruments is not None:
            self._instruments.record(self._targets[primary.arm], asked, primary, primary_answer, None, None)

    def _span(
        self,
        asked: Asked,
        parent: Context,
        target: Target,
        primary: Exchange,
        exchange: Exchange,
        answer: Answer | None,
        comparison: Comparison,
    ) -> Context | None:
        """The span of one copy, already ended; None for a copy that was not sent."""
        if self._tracer is None or not was_sent(exchange):
            return None
        model = model_of(target, asked)
        self._ids.next_span_id = _span_id_of(exchange)
        began_ns = int(exchange.issued_at_s * 1e9)
        ended_ns = began_ns + int(exchange.duration_s * 1e9)
        span = self._tracer.start_span(
            asked.operation if model is None else f"{asked.operation} {self._names.bounded(f'{exchange.arm} request', model)}",
            parent,
            SpanKind.CLIENT,
            # What a sampler may look at; the rest is added where the span is wanted.
            place(target, asked) | ({"gen_ai.request.model": model} if model is not None else {}),
            start_time=began_ns,
        )
        if span.is_recording() and not self.tally.is_full:  # else it is dropped as it ends, so nothing more is written into it
            span.set_attributes(request_facts(asked) | reply_facts(exchange, answer) | shadow_facts(target, primary, exchange, comparison))
            if self._captures:
                span.set_attributes(content_of(asked, answer))
            self._add_events(span, exchange, comparison, ended_ns)
            if error_type(exchange) is not None:
                span.set_status(Status(StatusCode.ERROR, error_sentence(exchange)))
        span.end(ended_ns)
        return set_span_in_context(span, Context())

    def _add_events(self, span: Span, exchange: Exchange, comparison: Comparison, at_ns: int) -> None:
        for divergence in comparison.divergences[:_DIVERGENCES]:
            found: Attributes = {
                "shadowproxy.divergence.kind": divergence.kind,
                "shadowproxy.divergence.severity": divergence.severity.value,
            }
            if self._captures:
                found["shadowproxy.divergence.primary"] = shown(divergence.primary)
                found["shadowproxy.divergence.other"] = shown(divergence.other)
            span.add_event("shadowproxy.divergence", found, at_ns)
        if comparison.similarity is not None:
            score: Attributes = {"gen_ai.evaluation.name": "similarity", "gen_ai.evaluation.score.value": comparison.similarity}
            if (error := error_type(exchange)) is not None:
                score["error.type"] = error
            span.add_event("gen_ai.evaluation.result", score, at_ns)

    # --- out ----------------------------------------------------------------------------------------------------------

    def report(self, counts: Counts) -> None:
        """Write into ``counts`` what was sent and what was lost so far."""
        tally = self.tally
        for result, count in (("exported", tally.exported), ("failed", tally.failed), ("dropped", tally.dropped)):
            counts.set(TELEMETRY_SPANS, result, to=count)
        for result, count in (("exported", tally.metrics_exported), ("failed", tally.metrics_failed)):
            counts.set(TELEMETRY_METRIC_EXPORTS, result, to=count)

    async def close(self, within_s: float) -> None:
        """Send what waits, for at most this long; the rest is counted as dropped. On threads of their own: the SDK waits without end."""
        self._is_open = False
        done = [asyncio.Event() for _ in self._ends]
        loop = asyncio.get_running_loop()
        for end, is_done in zip(self._ends, done, strict=True):
            threading.Thread(target=_ended, args=(end, int(within_s * 1000), loop, is_done), name="telemetry end", daemon=True).start()
        try:
            async with asyncio.timeout(within_s):
                for is_done in done:
                    await is_done.wait()
            self._quiet.undo()
        except TimeoutError:  # the SDK's threads live on, and would go on to tell of it
            _log.warning("the OpenTelemetry collector did not take everything within %g s", within_s)
            for give_up in self._gives_up:
                give_up()
        self.tally.dropped += self.tally.waiting
        self.tally.accepted -= self.tally.waiting


def _ended(end: Callable[[int], None], within_ms: int, loop: asyncio.AbstractEventLoop, is_done: asyncio.Event) -> None:
    try:
        end(within_ms)
    except Exception as exc:  # noqa: BLE001 - the last thing that is done; there is nobody to raise to
        _log.warning("OpenTelemetry did not end well (%s)", type(exc).__name__)
    finally:
        try:
            loop.call_soon_threadsafe(is_done.set)
        except RuntimeError:  # the loop is gone: nobody waits any more
            _log.debug("OpenTelemetry ended after the process's loop")


class _Ids(RandomIdGenerator):
    """Gives the next span the id that its copy was sent with, so that the arm's own spans hang below it."""

    next_span_id = 0

    def generate_span_id(self) -> int:
        known, self.next_span_id = self.next_span_id, 0
        return known or super().generate_span_id()


def _span_id_of(exchange: Exchange) -> int:
    """The span id in the trace headers of this copy; 0 where it is not known."""
    return int(exchange.span_id, 16) if exchange.span_id else 0


def _headers(section: Section) -> dict[str, str]:
    headers = {name.lower(): value for name, value in section.headers.items()}
    if section.auth is not None:
        name, value = section.auth.header_line()
        headers[name.decode("latin-1")] = value.decode("latin-1")
    return headers


def _resource(service_name: str | None) -> Resource:
    """The SDK's rules, with our name where nobody gave one, and an instance of its own for every process: two of them overlap during a
    reload, and their sums must not be taken for one another's."""
    found = Resource.create({SERVICE_NAME: service_name} if service_name else {})
    given: dict[str, str] = {}
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        given[SERVICE_NAME] = "shadowproxy"
    if SERVICE_VERSION not in found.attributes:
        given[SERVICE_VERSION] = version("llm-shadowproxy")
    if SERVICE_INSTANCE_ID not in found.attributes:
        given[SERVICE_INSTANCE_ID] = os.urandom(16).hex()
    return found.merge(Resource(given))


def _sampler(percent: float | None) -> Sampler | None:
    """None leaves it to the SDK, which reads ``OTEL_TRACES_SAMPLER`` and by default does what the caller's flag says."""
    return None if percent is None else ParentBased(TraceIdRatioBased(percent / 100))


def _positive(name: str, default: int) -> int:
    """A whole number above 0 from the environment. Raises ``ValueError`` that names it."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) == 0:
        raise ValueError(f"{name} is {text!r}; give a whole number above 0")
    return int(text)
