"""Histograms as a collector receives them."""

from __future__ import annotations

import orjson
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from shadowproxy.exchange import Outcome, Reply
from tests.telemetry.collector import answer, collector, comparison, exchange, plain, telemetry

SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
BOUNDS = {
    "gen_ai.client.operation.duration": SECONDS,
    "gen_ai.client.operation.time_to_first_chunk": SECONDS,
    "gen_ai.server.time_to_first_token": [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
    "gen_ai.client.token.usage": [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
}


async def measured(*requests, **section):
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url, **section)
        for primary, said, others in requests:
            teller.compared(primary, said, others)
        await teller.close(5)
        return seen


def usual():
    others = ((exchange("v2", duration_s=2.0), answer(), comparison()), (exchange("control"), answer(), comparison("control")))
    return exchange(), answer(), others


async def test_every_arm_is_measured_in_the_conventions_buckets() -> None:
    seen = await measured(usual(), usual())
    for name, bounds in BOUNDS.items():
        points = seen.points(name)
        assert points, name
        assert all(list(point.explicit_bounds) == bounds for point in points), name
        assert {plain(point.attributes)["shadowproxy.arm"] for point in points} == {"primary", "v2", "control"}, name
        assert all(point.count == 2 for point in points), name
    (slow,) = seen.points("gen_ai.client.operation.duration", arm="v2")
    assert slow.sum == 4.0
    (first,) = seen.points("gen_ai.server.time_to_first_token", arm="v2")
    assert first.sum == pytest.approx(0.6), "the first content, not the first bytes"
    (chunk,) = seen.points("gen_ai.client.operation.time_to_first_chunk", arm="v2")
    assert chunk.sum == pytest.approx(0.5)


async def test_labels_are_those_of_the_conventions_and_ours() -> None:
    seen = await measured(usual())
    (point,) = seen.points("gen_ai.client.token.usage", arm="v2", token="output")
    labels = plain(point.attributes)
    assert labels.pop("shadowproxy.rollout").startswith("v2-")
    assert labels == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "mistral-small",
        "gen_ai.response.model": "llama-3.1",
        "gen_ai.token.type": "output",
        "server.address": "api.mistral.ai",
        "server.port": 443,
        "shadowproxy.arm": "v2",
        "shadowproxy.route": "chat",
    }
    assert point.sum == 3


async def test_similarity_is_measured_for_copies_only() -> None:
    seen = await measured(usual())
    assert {plain(point.attributes)["shadowproxy.arm"] for point in seen.points("shadowproxy.similarity")} == {"v2", "control"}
    assert [point.sum for point in seen.points("shadowproxy.similarity")] == [0.875, 0.875]


async def test_failure_has_a_duration_with_its_error_and_nothing_else() -> None:
    failed = exchange("v2", outcome=Outcome.HTTP_ERROR, reply=Reply(503, (), ()))
    seen = await measured((exchange(), answer(), ((failed, answer(), comparison(similarity=None)),)))
    (point,) = seen.points("gen_ai.client.operation.duration", arm="v2")
    assert plain(point.attributes)["error.type"] == "503"
    for name in ("gen_ai.client.token.usage", "gen_ai.server.time_to_first_token", "gen_ai.client.operation.time_to_first_chunk"):
        assert seen.points(name, arm="v2") == []
        assert seen.points(name, arm="primary") != []


async def test_copy_that_was_never_sent_has_no_duration() -> None:
    dropped = exchange("v2", outcome=Outcome.DROPPED_CANDIDATE, reply=None)
    seen = await measured((exchange(), answer(), ((dropped, None, comparison(similarity=0.0)),)))
    assert seen.points("gen_ai.client.operation.duration", arm="v2") == []
    assert [point.sum for point in seen.points("shadowproxy.similarity", arm="v2")] == [0.0]


async def test_whole_reply_has_no_time_to_its_first_chunk() -> None:
    whole = answer(is_streamed=False)
    seen = await measured((exchange(), whole, ((exchange("v2"), whole, comparison()),)))
    assert seen.points("gen_ai.client.operation.duration") != []
    assert seen.points("gen_ai.client.operation.time_to_first_chunk") == []
    assert seen.points("gen_ai.server.time_to_first_token") == []


async def test_made_up_models_do_not_grow_the_labels_without_bound() -> None:
    def made_up(number: int):
        said = answer(model=f"answer-{number}")
        return exchange(body=orjson.dumps({"model": f"asked-{number}"})), said, ((exchange("control"), said, comparison("control")),)

    seen = await measured(*(made_up(number) for number in range(60)))
    for label in ("gen_ai.request.model", "gen_ai.response.model"):
        values = {plain(point.attributes)[label] for point in seen.points("gen_ai.client.operation.duration", arm="control")}
        assert len(values) == 21
        assert "_OTHER" in values
    assert sum(point.count for point in seen.points("gen_ai.client.operation.duration", arm="control")) == 60


async def test_example_of_a_duration_leads_to_the_span() -> None:
    seen = await measured(usual())
    (point,) = seen.points("gen_ai.client.operation.duration", arm="v2")
    assert [example.span_id for example in point.exemplars] == [seen.span_of("v2").span_id]


async def test_each_signal_can_be_switched_off() -> None:
    seen = await measured(usual(), spans=False)
    assert seen.spans == []
    assert seen.points("gen_ai.client.operation.duration") != []
    seen = await measured(usual(), metrics=False)
    assert len(seen.spans) == 2
    assert seen.metrics == []
