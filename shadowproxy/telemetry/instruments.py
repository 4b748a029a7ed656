"""The metrics: what is recorded for each exchange of a compared request. Labels are few, whatever strangers send."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter

from shadowproxy.exchange import Answer, Exchange, Outcome
from shadowproxy.telemetry.facts import (
    Asked,
    Attributes,
    Names,
    Target,
    clean,
    error_type,
    first_chunk_s,
    model_of,
    place,
    tokens,
    was_sent,
)

#: Bucket boundaries as the conventions state them for each instrument.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
_TTFT_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
#: Finer towards 1, where answers of models that are alike lie.
_SIMILARITY = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)


class Instruments:
    """Histograms by arm, route and model."""

    def __init__(self, meter: Meter, names: Names) -> None:
        self._names = names
        self._duration = _histogram(meter, "gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS)
        self._tokens = _histogram(meter, "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS)
        self._first_chunk = _histogram(
            meter, "gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk of a stream.", _SECONDS
        )
        self._ttft = _histogram(
            meter,
            "gen_ai.server.time_to_first_token",
            "s",
            "Time to the first content of a stream, for successful responses.",
            _TTFT_SECONDS,
        )
        self._similarity = _histogram(
            meter, "shadowproxy.similarity", "1", "How alike the arm's answer and the primary's are, 0 to 1.", _SIMILARITY
        )

    def record(
        self, target: Target, asked: Asked, exchange: Exchange, answer: Answer | None, similarity: float | None, span: Context | None
    ) -> None:
        """Count one exchange. ``span`` is linked as an example. A copy that was never sent had no duration."""
        labels = place(target, asked) | {"shadowproxy.arm": exchange.arm, "shadowproxy.route": exchange.route}
        if target.rollout:
            labels["shadowproxy.rollout"] = target.rollout
        if (model := model_of(target, asked)) is not None:
            labels["gen_ai.request.model"] = self._names.bounded(f"{exchange.arm} request", model)
        if similarity is not None:
            self._similarity.record(similarity, labels, context=span)
        if not was_sent(exchange):
            return
        if answer is not None and answer.model:
            labels["gen_ai.response.model"] = self._names.bounded(f"{exchange.arm} response", clean(answer.model))
        self._record_times(labels, exchange, answer, span)
        if exchange.outcome is Outcome.OK:
            for kind, count in tokens(answer):
                self._tokens.record(count, labels | {"gen_ai.token.type": kind})

    def _record_times(self, labels: Attributes, exchange: Exchange, answer: Answer | None, span: Context | None) -> None:
        error = error_type(exchange)
        self._duration.record(exchange.duration_s, labels if error is None else labels | {"error.type": error}, context=span)
        if error is not None or answer is None or not answer.is_streamed:
            return
        if (first_s := first_chunk_s(exchange, answer)) is not None:
            self._first_chunk.record(first_s, labels)
        if answer.ttft_s is not None:
            self._ttft.record(answer.ttft_s, labels)


def _histogram(meter: Meter, name: str, unit: str, description: str, bounds: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=bounds)
