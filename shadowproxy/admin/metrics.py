"""/metrics: the summed counts and the verdicts as Prometheus families.

The table in ``counts`` is the list of what is exported; the four verdict metrics are read from the verdict documents, everything else
from the totals. A metric whose last label is ``le`` holds cumulative bucket counts and is exported as a histogram. ``_count`` and ``_sum``
come together or not at all (OpenMetrics 1.0, Histogram): they are there where the table has a counter called ``<name>_sum``. Elsewhere the
bucket ``+Inf`` is the count; a made-up sum would give made-up averages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.registry import Collector

from shadowproxy.admin.asked import number_of
from shadowproxy.admin.state import Document, JudgeState
from shadowproxy.counts import GATE_BOUND, GATE_E_LOG10, METRICS, VERDICT, VERDICT_NUMBER, Metric, Totals
from shadowproxy.verdict.decision import State

#: (label values, value)
Sample = tuple[tuple[str, ...], float]
Samples = Iterable[Sample]

_BUCKET = "le"
_SUM = "_sum"


def registry(state: JudgeState) -> CollectorRegistry:
    """A fresh registry over this state, with the build and this process (CPU, memory, open files)."""
    fresh = CollectorRegistry()
    fresh.register(StateCollector(state))
    ProcessCollector(registry=fresh)
    return fresh


def exposition(families: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """(body, content type) in the format that ``accept`` asks for: OpenMetrics, or the Prometheus text format."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no version: whoever sent it reads the oldest format at least
        encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    return encode(families), content_type


class StateCollector(Collector):
    """Builds every family anew at each scrape. ``table`` is what to export."""

    def __init__(self, state: JudgeState, table: Sequence[Metric] = METRICS) -> None:
        self._state = state
        self._table = table

    def describe(self) -> Iterable[Family]:
        """Nothing: otherwise registering would look at the state before it is complete."""
        return ()

    def collect(self) -> Iterator[Family]:
        yield InfoMetricFamily("shadowproxy_build", "The running version.", {"version": _version()})
        documents = self._state.verdicts()
        sums = {metric.name.removesuffix(_SUM): metric for metric in self._table if metric.name.endswith(_SUM)}
        for metric in self._table:
            if metric.labels[-1:] == (_BUCKET,):
                sum_of = sums.get(metric.name)
                yield _histogram(metric, self._state.totals.items(metric), self._state.totals.items(sum_of) if sum_of else ())
            elif metric.name in _FROM_VERDICTS:
                yield _plain(metric, _FROM_VERDICTS[metric.name](documents))
            elif metric not in sums.values():
                yield _plain(metric, exported(metric, self._state.totals, self._state.boot))


def exported(metric: Metric, totals: Totals, boot: str) -> Samples:
    """The samples of one metric by its ``exported_labels``."""
    own = (boot,) if metric.is_per_boot else ()
    return ((labels + own, value) for labels, value in totals.items(metric))


def _version() -> str:
    try:
        return version("llm-shadowproxy")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


# --- families from the totals -------------------------------------------------------------------------------------------


def _plain(metric: Metric, samples: Samples) -> Family:
    family_of = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
    family = family_of(metric.name, metric.help, labels=metric.exported_labels)
    # A counter without labels exists from the start, so that its first event is an increase and not a birth.
    given = tuple(samples) or ((((), 0.0),) if not metric.labels and metric.kind == "counter" else ())
    for labels, value in given:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, samples: Samples, sums: Samples) -> Family:
    """Every series gets every bound seen in the family: a bucket that nobody fell into was never counted, and must read 0."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels[:-1])
    counted = sorted(samples)
    bounds = sorted({labels[-1] for labels, _ in counted} | {"+Inf"}, key=float)
    sum_of = dict(sums)
    for series, members in groupby(counted, key=lambda sample: sample[0][:-1]):
        buckets = _cumulative(bounds, {labels[-1]: value for labels, value in members})
        family.add_metric(series, buckets, sum_of.get(series))
    return family


def _cumulative(bounds: Sequence[str], counted: dict[str, float]) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    below = 0.0
    for bound in bounds:
        below = max(below, counted.get(bound, 0.0))
        buckets.append((bound, below))
    return buckets


# --- families from the verdicts -----------------------------------------------------------------------------------------


def _states(documents: Sequence[Document]) -> Iterator[Sample]:
    for document in documents:
        for state in State:
            yield (document["rollout"], state.value), float(document["state"] == state.value)


def _numbers(documents: Sequence[Document]) -> Iterator[Sample]:
    return (((document["rollout"], document["candidate"]), float(number_of(document))) for document in documents)


def _e_values(documents: Sequence[Document]) -> Iterator[Sample]:
    for rollout, finding in _findings(documents):
        for direction in ("promote", "rollback"):
            yield (rollout, finding["route"], finding["slice"], finding["gate"], direction), finding[f"log10_e_{direction}"]


def _bounds(documents: Sequence[Document]) -> Iterator[Sample]:
    for rollout, finding in _findings(documents):
        for side in ("mean", "lower", "upper", "margin"):
            if finding[side] is not None:  # no mean without data
                yield (rollout, finding["route"], finding["slice"], finding["gate"], side), finding[side]


def _findings(documents: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    for document in documents:
        for finding in document["gates"]:
            yield document["rollout"], finding


_FROM_VERDICTS: dict[str, Callable[[Sequence[Document]], Iterator[Sample]]] = {
    VERDICT.name: _states,
    VERDICT_NUMBER.name: _numbers,
    GATE_E_LOG10.name: _e_values,
    GATE_BOUND.name: _bounds,
}
