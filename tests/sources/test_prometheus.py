"""Reading Prometheus: what is asked when, what an answer means, and that no doubtful answer passes for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shadowproxy.config import PrometheusSource
from shadowproxy.counts import PAIRS_ISSUED, ROLLOUT_STARTED
from shadowproxy.errors import NoAnswer
from shadowproxy.sources.prometheus import Prometheus
from shadowproxy.sources.promql import LIVE, OLDEST, TARGETS
from shadowproxy.testing.clock import ManualClock
from tests.gateway.wires import closed_port
from tests.sources.fake_prometheus import FakePrometheus, fake_prometheus, sample, vector

R = "v2-0123456789ab"
ISSUED = {"rollout": R, "route": "chat", "arm": "candidate"}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakePrometheus]:
    async with fake_prometheus() as server:
        yield server


def source(fake: FakePrometheus, clock: ManualClock | None = None, **section: Any) -> Prometheus:
    return Prometheus(PrometheusSource.model_validate({"url": fake.url, "window_s": 7200, **section}), clock or ManualClock())


async def read(prometheus: Prometheus, *answers: Any) -> Any:
    reading = await prometheus.read((R,))
    await prometheus.close()
    return reading


async def test_counts_come_by_boot_with_the_time_and_who_is_live(fake: FakePrometheus) -> None:
    fake.answer = 200, vector(
        sample(PAIRS_ISSUED.name, 7, boot="a", **ISSUED),
        sample(PAIRS_ISSUED.name, 5, boot="b", **ISSUED),
        sample(ROLLOUT_STARTED.name, 990.5, boot="a", rollout=R),
        sample(LIVE, 1, boot="a"),
        sample(TARGETS, 1, job="pods", instance="h:1"),
        now_s=1234.5,
    )  # fmt: skip
    reading = await read(source(fake))
    assert reading.at_s == 1234.5
    assert reading.boots == {
        "a": {(PAIRS_ISSUED.name, R, "chat", "candidate"): 7, (ROLLOUT_STARTED.name, R): 990.5},
        "b": {(PAIRS_ISSUED.name, R, "chat", "candidate"): 5},
    }
    assert reading.live == {"a"}
    assert reading.reach_s == 7200
    assert reading.problems == ()


async def test_credential_is_sent_and_shown_to_no_other_header(fake: FakePrometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_TOKEN", "prom-secret")
    await read(source(fake, auth={"env": "PROM_TOKEN"}))
    (head,) = fake.heads
    assert head["authorization"] == "Bearer prom-secret"


async def test_first_look_goes_back_over_the_window_and_later_ones_to_the_one_before(fake: FakePrometheus) -> None:
    clock = ManualClock(50.0)
    prometheus = source(fake, clock)
    await prometheus.read((R,))
    clock.advance(15)
    await prometheus.read((R,))
    fake.answer = 503, b"away"
    clock.advance(15)
    with pytest.raises(NoAnswer):
        await prometheus.read((R,))
    fake.answer = 200, vector()
    clock.advance(15)
    await prometheus.read((R,))
    clock.advance(100_000)
    await prometheus.read((R,))
    await prometheus.close()
    ranges = [query.split(f'max_over_time({PAIRS_ISSUED.name}{{rollout=~"')[1].split("[")[1].split("]")[0] for query in fake.queries]
    assert ranges == ["7200s", "615s", "615s", "630s", "7200s"]
    assert [f'"{OLDEST}"' in query for query in fake.queries] == [True, False, False, False, False]


async def test_target_that_cannot_be_scraped_is_a_problem_until_discovery_drops_it(fake: FakePrometheus) -> None:
    prometheus = source(fake)
    fake.answer = 200, vector(sample(TARGETS, 1, job="pods", instance="h:1"), sample(TARGETS, 0, job="pods", instance="[::1]:2"))
    ((about, text),) = (await prometheus.read((R,))).problems
    assert about == ""
    assert text.startswith("Prometheus cannot scrape [::1]:2 (job pods)")
    fake.answer = 200, vector(sample(TARGETS, 0, job="pods", instance="h:1"))
    ((_, text),) = (await prometheus.read((R,))).problems
    assert "h:1" in text
    assert 'up{instance=~"\\\\[::1\\\\]:2|h:1"}' in fake.queries[-1]
    await prometheus.read((R,))
    assert 'up{instance=~"h:1"}' in fake.queries[-1], "the other has left the scrape configuration"
    await prometheus.close()


async def test_rollout_whose_beginning_was_not_stored_holds_as_long_as_this_judge_lives(fake: FakePrometheus) -> None:
    prometheus = source(fake)
    fake.answer = 200, vector(sample(ROLLOUT_STARTED.name, 1000, boot="a", rollout=R), sample(OLDEST, 2000, rollout=R), now_s=3000)
    ((about, text),) = (await prometheus.read((R,))).problems
    assert about == R
    assert text.startswith("of the first 1000 s of this rollout nothing is stored")
    fake.answer = 200, vector(now_s=3015)
    assert (await prometheus.read((R,))).problems == ((about, text),)
    await prometheus.close()


async def test_rollout_that_was_scraped_a_little_later_is_whole(fake: FakePrometheus) -> None:
    fake.answer = 200, vector(sample(ROLLOUT_STARTED.name, 1000, boot="a", rollout=R), sample(OLDEST, 1400, rollout=R))
    assert (await read(source(fake))).problems == ()


async def test_series_without_boot_is_a_problem(fake: FakePrometheus) -> None:
    fake.answer = 200, vector(sample(PAIRS_ISSUED.name, 7, **ISSUED))
    reading = await read(source(fake))
    assert reading.boots == {}
    assert "came without the label boot" in reading.problems[0][1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((503, b"upstream away"), "status 503, not as Prometheus does"),
        ((200, b"<html>sign in</html>"), "not as Prometheus does"),
        ((422, {"status": "error", "error": "query processing would load too many samples"}), "too many samples"),
        ((200, {"status": "error", "error": "out of order"}), "out of order"),
        ((200, {"status": "success", "data": {"result": []}}), "did not say what time it is"),
        ((200, {"status": "success", "data": {"result": 3}}), "not as Prometheus does"),
        ((200, {}), "no reason given"),
        ((200, vector(warnings=["one store did not answer"])), "a partial answer: one store did not answer"),
        ((302, b""), "status 302"),
    ],
)
async def test_doubtful_answer_is_none(fake: FakePrometheus, answer: tuple[int, Any], says: str) -> None:
    fake.answer = answer
    prometheus = source(fake)
    with pytest.raises(NoAnswer, match=says):
        await prometheus.read((R,))
    await prometheus.close()


async def test_nobody_there_is_no_answer() -> None:
    prometheus = Prometheus(PrometheusSource(url=f"http://127.0.0.1:{closed_port()}"))
    with pytest.raises(NoAnswer, match="did not answer"):
        await prometheus.read((R,))
    await prometheus.close()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1e400", "seven"])
async def test_value_that_is_no_count_reaches_the_sums_as_what_it_is(fake: FakePrometheus, value: str) -> None:
    fake.answer = 200, vector(sample(PAIRS_ISSUED.name, value, boot="a", **ISSUED))
    reading = await read(source(fake))
    (seen,) = reading.boots["a"].values()
    assert not seen < 2.0**53
