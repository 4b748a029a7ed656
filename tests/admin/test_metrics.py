"""What Prometheus reads, parsed back and compared with the table of metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shadowproxy.admin.metrics import StateCollector, exposition, registry
from shadowproxy.counts import (
    CONNECTIONS,
    DURATION_SECONDS,
    GATE_BOUND,
    GATE_E_LOG10,
    METRICS,
    NOT_MIRRORED,
    OPEN_CONNECTIONS,
    TTFT_SECONDS,
    VERDICT,
    VERDICT_NUMBER,
    Counts,
    Metric,
)
from tests.admin.clients import client_of
from tests.admin.fake_state import FakeState, verdict

FROM_VERDICTS = {VERDICT, VERDICT_NUMBER, GATE_E_LOG10, GATE_BOUND}
NASTY = 'a"b\\c\nd{e="f"} é'
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"


def full_state() -> FakeState:
    """Every counted metric has one series with recognisable label values."""
    state = FakeState("small")
    counts = Counts()
    for metric in METRICS:
        if metric not in FROM_VERDICTS:
            labels = ["0.5" if label == "le" else f"some {label}" for label in metric.labels]
            counts.set(metric, *labels, to=3)
    state.totals.absorb("boot", counts.everything())
    return state


def families(state: FakeState, accept: str = "") -> dict[str, Family]:
    body, content_type = exposition(registry(state), accept)
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {family.name: family for family in parse(body.decode())}


def values(family: Family) -> dict[tuple[str, ...], float]:
    """Name and label values in the table's order (the text has them sorted by label) → value."""
    order = [label for metric in METRICS if family_name(metric) == family.name for label in metric.labels]
    return {(sample.name, *(sample.labels[label] for label in order if label in sample.labels)): sample.value for sample in family.samples}


def family_name(metric: Metric) -> str:
    return metric.name.removesuffix("_total")


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_exports_exactly_the_table(accept: str) -> None:
    found = families(full_state(), accept)
    ours = {name for name in found if name.startswith("shadowproxy_")}
    build = "shadowproxy_build" if accept else "shadowproxy_build_info"
    # A histogram's sum is counted as a metric of its own and exported within its family.
    tabled = [metric for metric in METRICS if not metric.name.endswith("_seconds_sum")]
    assert ours == {build} | {family_name(metric) for metric in tabled}
    for metric in tabled:
        family = found[family_name(metric)]
        is_histogram = "le" in metric.labels
        assert family.type == ("histogram" if is_histogram else metric.kind)
        assert family.documentation == metric.help
        assert family.samples, metric.name
        suffixes = ("_bucket", "_count", "_sum") if is_histogram else ("",)
        for sample in family.samples:
            assert sample.name in {metric.name + suffix for suffix in suffixes}
            assert set(sample.labels) | ({"le"} if is_histogram else set()) == set(metric.exported_labels)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_label_values_from_strangers_survive(accept: str) -> None:
    state = FakeState()
    counts = Counts()
    counts.add(NOT_MIRRORED, NASTY, by=2)
    state.totals.absorb("boot", counts.everything())
    (sample,) = families(state, accept)["shadowproxy_not_mirrored"].samples
    assert sample.labels == {"reason": NASTY}
    assert sample.value == 2


def test_bucket_counts_become_a_histogram() -> None:
    state = FakeState()
    counts = Counts()
    for bound, count in (("0.1", 1), ("0.5", 4), ("10.0", 6), ("+Inf", 7)):
        counts.set(TTFT_SECONDS, "r", "chat", "primary", bound, to=count)
    counts.set(TTFT_SECONDS, "r", "chat", "candidate", "10.0", to=2)
    counts.set(TTFT_SECONDS, "r", "chat", "candidate", "+Inf", to=2)
    state.totals.absorb("boot", counts.everything())
    found = values(families(state)["shadowproxy_ttft_seconds"])
    name = "shadowproxy_ttft_seconds"
    assert found == {
        (f"{name}_bucket", "r", "chat", "primary", "0.1"): 1,
        (f"{name}_bucket", "r", "chat", "primary", "0.5"): 4,
        (f"{name}_bucket", "r", "chat", "primary", "10.0"): 6,
        (f"{name}_bucket", "r", "chat", "primary", "+Inf"): 7,
        # Nobody of this series was that fast: the buckets were never counted, and still stand there.
        (f"{name}_bucket", "r", "chat", "candidate", "0.1"): 0,
        (f"{name}_bucket", "r", "chat", "candidate", "0.5"): 0,
        (f"{name}_bucket", "r", "chat", "candidate", "10.0"): 2,
        (f"{name}_bucket", "r", "chat", "candidate", "+Inf"): 2,
    }


def test_histogram_gets_its_sum_where_one_is_counted() -> None:
    sum_of = Metric(f"{DURATION_SECONDS.name}_sum", DURATION_SECONDS.labels[:-1], "Sum.")
    state = FakeState()
    counts = Counts()
    counts.set(DURATION_SECONDS, "r", "chat", "primary", "+Inf", to=2)
    counts.set(sum_of, "r", "chat", "primary", to=3.5)
    state.totals.absorb("boot", counts.everything())
    fresh = CollectorRegistry()
    fresh.register(StateCollector(state, (DURATION_SECONDS, sum_of)))
    for encode, parse in ((generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)):
        _, family = parse(encode(fresh).decode())
        assert values(family) == {
            ("shadowproxy_duration_seconds_bucket", "r", "chat", "primary", "+Inf"): 2,
            ("shadowproxy_duration_seconds_count", "r", "chat", "primary"): 2,
            ("shadowproxy_duration_seconds_sum", "r", "chat", "primary"): 3.5,
        }


def test_counts_of_ended_processes_stay_and_gauges_go() -> None:
    state = FakeState()
    for boot in ("first", "second"):
        counts = Counts()
        counts.add(CONNECTIONS, by=2)
        counts.set(OPEN_CONNECTIONS, boot, to=1)
        state.totals.absorb(boot, counts.everything())
    state.totals.end("first")
    found = families(state)
    assert values(found["shadowproxy_connections"]) == {("shadowproxy_connections_total",): 4}
    assert values(found["shadowproxy_open_connections"]) == {("shadowproxy_open_connections", "second"): 1}


def test_plain_counter_is_there_before_its_first_event() -> None:
    assert values(families(FakeState())["shadowproxy_connections"]) == {("shadowproxy_connections_total",): 0}


def test_verdict_gauges_follow_the_documents() -> None:
    state = FakeState("small", "large")
    bad = verdict("large-0123456789ab", "large", failures=200)
    state.documents = (state.documents[0], bad)
    found = families(state)
    assert values(found["shadowproxy_verdict"]) == {
        ("shadowproxy_verdict", "small-0123456789ab", "promote"): 0,
        ("shadowproxy_verdict", "small-0123456789ab", "hold"): 1,
        ("shadowproxy_verdict", "small-0123456789ab", "rollback"): 0,
        ("shadowproxy_verdict", "large-0123456789ab", "promote"): 0,
        ("shadowproxy_verdict", "large-0123456789ab", "hold"): 0,
        ("shadowproxy_verdict", "large-0123456789ab", "rollback"): 1,
    }
    assert values(found["shadowproxy_verdict_number"]) == {
        ("shadowproxy_verdict_number", "small-0123456789ab", "small"): 0,
        ("shadowproxy_verdict_number", "large-0123456789ab", "large"): -1,
    }
    finding = next(each for each in bad["gates"] if each["gate"] == "error")  # type: ignore[attr-defined]
    bounds, e_values = values(found["shadowproxy_gate_bound"]), values(found["shadowproxy_gate_e_log10"])
    for side in ("mean", "lower", "upper", "margin"):
        assert bounds["shadowproxy_gate_bound", "large-0123456789ab", "chat", "", "error", side] == finding[side]
    for direction in ("promote", "rollback"):
        assert e_values["shadowproxy_gate_e_log10", "large-0123456789ab", "chat", "", "error", direction] == finding[f"log10_e_{direction}"]


def test_gate_without_data_has_no_mean() -> None:
    state = FakeState("small")
    unseen = [each for each in state.documents[0]["gates"] if each["mean"] is None]  # type: ignore[attr-defined]
    assert unseen
    sides = {
        sample.labels["side"] for sample in families(state)["shadowproxy_gate_bound"].samples if sample.labels["gate"] == unseen[0]["gate"]
    }
    assert sides == {"lower", "upper", "margin"}


def test_build_and_process_are_told() -> None:
    found = families(FakeState())
    (build,) = found["shadowproxy_build_info"].samples
    assert build.value == 1
    assert build.labels["version"]
    assert found["process_resident_memory_bytes"].samples[0].value > 0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text; version=none", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_format_follows_accept(accept: str, expected: str) -> None:
    async with client_of(full_state()) as client:
        reply = await client.get("/metrics", headers={"accept": accept})
        body = await reply.text()
    assert reply.status == 200
    assert reply.headers["content-type"].startswith(expected)
    assert body.endswith("# EOF\n") == ("openmetrics" in expected)


def test_two_surfaces_share_nothing() -> None:
    first, second = FakeState("small"), FakeState()
    assert families(first)["shadowproxy_verdict"].samples
    assert not families(second)["shadowproxy_verdict"].samples
