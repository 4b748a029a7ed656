"""Counts that every process keeps and the supervisor adds up.

A process counts in plain integers (:class:`Counts`) and reports its whole state now and then; reports are cumulative per boot, so
a report lost or seen twice changes nothing. The supervisor (:class:`Totals`) keeps the last report of every boot: what a killed
process had reported stays counted. The table of metrics stands here once, for /metrics, for the docs and for the test that
compares them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

#: A metric's name followed by its label values.
CountKey = tuple[str, ...]

#: Label that names the start of a ``serve`` which counted.
BOOT = "boot"

#: The name under which :class:`Totals` are told what is known of all boots together.
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series family. ``kind`` is ``counter`` or ``gauge``.

    ``is_per_boot`` says that it is exported with the label ``boot``, new at every start of ``serve``: a restart then begins a series of
    its own instead of setting one back, and one process that is read twice is seen to be one.
    """

    name: str
    labels: tuple[str, ...]
    help: str
    kind: str = "counter"
    is_per_boot: bool = False

    @property
    def exported_labels(self) -> tuple[str, ...]:
        """``labels`` as whoever reads /metrics or /counts sees them."""
        return (*self.labels, BOOT) if self.is_per_boot else self.labels


REQUESTS = Metric("shadowproxy_requests_total", ("route", "status"), "Client requests answered, by status class (2xx, 4xx …).")
CLIENT_ABORTS = Metric("shadowproxy_client_aborts_total", ("route",), "Requests whose client went away before the reply was complete.")
PRIMARY_FAILURES = Metric(
    "shadowproxy_primary_failures_total", ("reason",), "Replies that the gateway had to write itself, or cut, because of the primary."
)
BAD_REQUESTS = Metric("shadowproxy_bad_requests_total", ("reason",), "Requests refused by the gateway before the primary saw them.")
CONNECTIONS = Metric("shadowproxy_connections_total", (), "Client connections accepted.")
OPEN_CONNECTIONS = Metric("shadowproxy_open_connections", ("worker",), "Client connections open now.", "gauge")
UPSTREAM_CONNECTIONS = Metric("shadowproxy_upstream_connections_total", ("event",), "Connections to the primary: opened, reused, retried.")
BYTES = Metric("shadowproxy_bytes_total", ("direction",), "Body bytes passed on, from the client (in) and to the client (out).")
NOT_MIRRORED = Metric("shadowproxy_not_mirrored_total", ("reason",), "Exchanges that were not mirrored, by reason.")
SAMPLED = Metric(
    "shadowproxy_sampled_total",
    ("percent", "chosen"),
    "What the sampling hash chose among requests that could be mirrored, by the mirror.percent then in force.",
    is_per_boot=True,
)
HANDED_OVER = Metric("shadowproxy_handed_over_total", (), "Exchanges written to the shadow process.")
RECEIVED = Metric("shadowproxy_received_total", (), "Exchanges read by the shadow process. Less than handed over: lost with it.")
LATE_SECONDS = Metric(
    "shadowproxy_late_seconds_total",
    (),
    "Time in which the shadow process was late to read what copies had been answered, of the time in which copies were on their way. "
    "Latencies that hang on it count as unreported.",
)
PAIRS_ISSUED = Metric(
    "shadowproxy_pairs_issued_total",
    ("rollout", "route", "arm"),
    "Copies decided on, by arm. The denominator: what has no answer counts too.",
    is_per_boot=True,
)
PAIRS_RESOLVED = Metric(
    "shadowproxy_pairs_resolved_total", ("rollout", "route", "arm", "outcome"), "Copies whose end is known, by outcome."
)
PAIRS_PENDING = Metric(
    "shadowproxy_pairs_pending", ("rollout", "candidate", "route"), "Issued pairs whose end is not counted yet.", "gauge", is_per_boot=True
)
CELLS = Metric(
    "shadowproxy_cells_total",
    ("rollout", "route", "slice", "check", "cell"),
    "Mergeable evidence: how often each value of each gate's paired difference was seen, by route, and by slice over all routes.",
    is_per_boot=True,
)
PAIRS_COUNTED = Metric(
    "shadowproxy_pairs_counted_total",
    ("rollout", "route"),
    "Pairs that are in the evidence, or were left out of it as repeats. Issued, not pending and not counted: lost on our side.",
    is_per_boot=True,
)
UNITS = Metric(
    "shadowproxy_units_total",
    ("rollout",),
    "Independent observations in the evidence: sessions, and requests without a session.",
    is_per_boot=True,
)
ROLLOUT_STARTED = Metric(
    "shadowproxy_rollout_started_seconds", ("rollout",), "When the first pair was issued, in Unix time.", "gauge", is_per_boot=True
)
DIVERGENCES = Metric(
    "shadowproxy_divergences_total", ("rollout", "route", "arm", "kind", "severity"), "Typed differences found within pairs."
)
SPENT_TOKENS = Metric(
    "shadowproxy_spent_tokens_total", ("rollout",), "Tokens that the candidate's copies took, as it reports them or by their length."
)
SPENT_COST = Metric("shadowproxy_spent_cost_total", ("rollout",), "Money that the candidate's copies took, by the configured prices.")
LLM_JUDGE_PAIRS = Metric(
    "shadowproxy_llm_judge_pairs_total",
    ("rollout", "route", "arm", "result"),
    "Judged pairs by result; arm is candidate or control. first and second: the judge named whichever answer it saw there.",
)
LLM_JUDGE_ABSTENTIONS = Metric(
    "shadowproxy_llm_judge_abstentions_total", ("rollout", "arm", "reason"), "Chosen pairs without a preference of the judge, by reason."
)
LLM_JUDGE_TOKENS = Metric("shadowproxy_llm_judge_tokens_total", ("rollout",), "Tokens the judge took.")
LLM_JUDGE_COST = Metric("shadowproxy_llm_judge_cost_total", ("rollout",), "Money the judge took, by the configured prices.")
SUPPRESSED = Metric("shadowproxy_suppressed_total", ("rollout", "rule"), "Differences that a rule of compare.rules has taken out.")
COPIES = Metric(
    "shadowproxy_copies_total", ("arm", "outcome"), "Copies by how they ended at the arm, whether they are compared or only sent."
)
STEP_FAILURES = Metric(
    "shadowproxy_step_failures_total",
    ("step",),
    "Failures of our own caught in a step after the tee. Each is a bug or a full disk, never a client's problem.",
)
PROCESS_STARTS = Metric("shadowproxy_process_starts_total", ("role",), "Starts of child processes; more than one each means restarts.")
RELOADS = Metric("shadowproxy_reloads_total", ("result",), "Configuration reloads: done, or refused and the old one kept.")
TTFT_SECONDS = Metric(
    "shadowproxy_ttft_seconds", ("rollout", "route", "arm", "le"), "TTFT by arm: cumulative counts per upper bound in seconds."
)
DURATION_SECONDS = Metric(
    "shadowproxy_duration_seconds", ("rollout", "route", "arm", "le"), "Duration by arm: cumulative counts per upper bound in seconds."
)
TTFT_SUM = Metric("shadowproxy_ttft_seconds_sum", ("rollout", "route", "arm"), "Sum of TTFT in seconds.")
DURATION_SUM = Metric("shadowproxy_duration_seconds_sum", ("rollout", "route", "arm"), "Sum of durations in seconds.")
TAIL_REFERENCE = Metric(
    "shadowproxy_tail_reference_seconds",
    ("rollout", "route", "measure"),
    "The primary's tail of a latency that a gate was frozen on: ttft, itl or duration.",
    "gauge",
)
VERDICT = Metric("shadowproxy_verdict", ("rollout", "state"), "1 for the state in force: promote, hold or rollback.", "gauge")
VERDICT_NUMBER = Metric(
    "shadowproxy_verdict_number",
    ("rollout", "candidate"),
    "1 promote, 0 hold, -1 rollback: one number for those who ask instead of being told. Never NaN.",
    "gauge",
)
GATE_E_LOG10 = Metric(
    "shadowproxy_gate_e_log10",
    ("rollout", "route", "slice", "gate", "direction"),
    "Evidence per gate: log10 of the current e-value, promote or rollback.",
    "gauge",
)
GATE_BOUND = Metric(
    "shadowproxy_gate_bound",
    ("rollout", "route", "slice", "gate", "side"),
    "Mean paired difference and its confidence bounds that hold at any time: mean, lower, upper, margin.",
    "gauge",
)
SOURCE_READS = Metric("shadowproxy_source_reads_total", ("result",), "Looks of the judge at the source of its counts: done or failed.")
EVENTS = Metric(
    "shadowproxy_events_total",
    ("result",),
    "CloudEvents about changed verdicts: delivered, refused by the sink, failed after the last try, dropped because too many waited.",
)
TELEMETRY_SPANS = Metric(
    "shadowproxy_telemetry_spans_total",
    ("result",),
    "Spans for the OpenTelemetry collector: exported, failed (the collector did not take them), dropped (the queue was full).",
)
TELEMETRY_METRIC_EXPORTS = Metric(
    "shadowproxy_telemetry_metric_exports_total", ("result",), "Exports of metrics to the OpenTelemetry collector: exported or failed."
)

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

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

#: Label ``reason`` of ``shadowproxy_not_mirrored_total`` → one line of documentation. Whatever is refused or lost before a copy is sent
#: is counted under one of these, and a test compares them with the code.
NOT_MIRRORED_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "no_candidates": "the configuration names no candidate; with a journal it is kept there all the same",
        "kill_switch": "a kill switch is on: mirror.kill_switch_file exists, or /mirroring?on=false was asked for",
        "not_inference": "the path is neither a known inference path nor a configured route, so asking twice might do something twice",
        "method": "the method is not POST: only POST asks a model something",
        "already_mirrored": "the request is itself a copy, by x-shadowproxy-arm or by the -shadow that Envoy puts behind its host",
        "retry_attempt": "x-envoy-attempt-count is above 1: a retry, whose first attempt was seen already",
        "sampled_out": "mirror.percent did not choose it",
        "request_too_large": "the request body is longer than mirror.max_request_bytes",
        "reply_too_large": "the primary's reply is longer than mirror.max_reply_bytes",
        "client_gone": "the client went away before the reply was complete, so there is nothing to compare with",
        "handover_gone": "the shadow process is not there: it is starting or being restarted",
        "handover_full": "the shadow process does not keep up: handover.buffer_bytes are waiting for it",
        "shadow_full": "handover.pending_exchanges or handover.pending_bytes are in work, or too many results wait for an older one",
        "stateful": "previous_response_id or conversation: the answer depends on state that only the primary has",
        "background": "background is set: the reply is no answer, and the work would go on behind it",
        "unreadable_request": "the body cannot be checked for side effects: compressed, not UTF-8, or not the JSON it claims to be",
        "hosted_tools": "hosted or MCP tools: they act when the model calls them, and must not act twice",
        "reply_encoding": "the primary's reply has a content coding that cannot be undone here, so it cannot be read",
        "candidate_sampled_out": "no candidate's percent chose it",
        "ceiling": "every candidate that was to get it has spent its ceiling",
    }
)


#: Upper bounds of the latency counts in seconds: from a warm small model's first token to a long report's last.
LATENCY_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LE = (*(repr(bound) for bound in LATENCY_BOUNDS), "+Inf")


class _Latencies:
    """How often each latency range was seen, and the sum of all."""

    __slots__ = ("ranges", "sum_s")

    def __init__(self) -> None:
        self.ranges = [0] * len(_LE)
        self.sum_s = 0.0


class Counts:
    """Cumulative counts of one process since its boot."""

    __slots__ = ("_changed", "_latencies", "_values")

    def __init__(self) -> None:
        self._values: dict[CountKey, float] = {}
        self._changed: set[CountKey] = set()
        self._latencies: dict[CountKey, _Latencies] = {}

    def time(self, metric: Metric, *labels: str, seconds: float) -> None:
        """Add one latency to a metric whose last label is ``le``. Becomes cumulative counts only when it is reported."""
        key = (metric.name, *labels)
        latencies = self._latencies.get(key)
        if latencies is None:
            latencies = self._latencies[key] = _Latencies()
        latencies.ranges[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        latencies.sum_s += seconds

    def _write_latencies(self) -> None:
        for (name, *labels), latencies in self._latencies.items():
            for le, count in zip(_LE, accumulate(latencies.ranges), strict=True):
                if count:
                    self._set((name, *labels, le), count)
            self._set((f"{name}_sum", *labels), latencies.sum_s)

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add ``by`` to the counter with these label values."""
        key = (metric.name, *labels)
        self._values[key] = self._values.get(key, 0) + by
        self._changed.add(key)

    def set(self, metric: Metric, *labels: str, to: float) -> None:
        """Set a gauge, or a counter that is kept elsewhere."""
        self._set((metric.name, *labels), to)

    def _set(self, key: CountKey, to: float) -> None:
        if self._values.get(key) != to:
            self._values[key] = to
            self._changed.add(key)

    def get(self, metric: Metric, *labels: str) -> float:
        return self._values.get((metric.name, *labels), 0)

    def take_changes(self) -> dict[CountKey, float]:
        """Current values of everything touched since the last call."""
        self._write_latencies()
        changes = {key: self._values[key] for key in self._changed}
        self._changed.clear()
        return changes

    def everything(self) -> dict[CountKey, float]:
        """All current values, for a listener that has seen nothing yet."""
        self._write_latencies()
        return dict(self._values)


class Totals:
    """Sums over every boot of every process. Reports may be repeated or partial; each carries cumulative values of its boot."""

    __slots__ = ("_by_boot", "_ended", "_gauges")

    def __init__(self) -> None:
        self._by_boot: dict[str, dict[CountKey, float]] = {}
        self._ended: dict[CountKey, float] = {}
        self._gauges = {metric.name for metric in METRICS if metric.kind == "gauge"}

    def absorb(self, boot: str, report: Mapping[CountKey, float]) -> None:
        """Take a report of the process boot called ``boot``."""
        self._by_boot.setdefault(boot, {}).update(report)

    def end(self, boot: str) -> None:
        """The process is gone: its counters stay, its gauges do not."""
        for key, value in self._by_boot.pop(boot, {}).items():
            if key[0] not in self._gauges:
                self._ended[key] = self._ended.get(key, 0) + value

    def items(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], float]]:
        """(label values, sum over boots) of one metric, in order of the labels."""
        sums: dict[CountKey, float] = {}
        for values in (self._ended, *self._by_boot.values()):
            for key, value in values.items():
                if key[0] == metric.name:
                    sums[key] = sums.get(key, 0) + value
        for key in sorted(sums):
            yield key[1:], sums[key]

    def value(self, metric: Metric, *labels: str) -> float:
        """The sum over boots and over every series whose label values begin with ``labels``."""
        return sum(value for key, value in self.items(metric) if key[: len(labels)] == labels)
