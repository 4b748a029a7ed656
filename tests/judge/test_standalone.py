"""The judge by itself over a source made by hand, under a clock that stands still: what it holds for, what it shows, whom it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shadowproxy.admin.app import JUDGE_ENDPOINTS, build, build_judge
from shadowproxy.config import Config, HistoryKept
from shadowproxy.config import build as build_config
from shadowproxy.counts import CELLS, PAIRS_ISSUED, ROLLOUT_STARTED, SOURCE_READS, CountKey
from shadowproxy.errors import ConfigError, NoAnswer
from shadowproxy.events import Change
from shadowproxy.history import History
from shadowproxy.sources.admin import AdminApi
from shadowproxy.sources.prometheus import Prometheus
from shadowproxy.sources.reading import EVIDENCE, Reading
from shadowproxy.standalone_judge import StandaloneJudge, source_of
from shadowproxy.testing.clock import ManualClock
from shadowproxy.watching import VerdictWatcher
from tests.admin.clients import bearer
from tests.admin.fake_state import FakeState
from tests.judge.judging import only_errors


def config(**judge: Any) -> Config:
    return build_config(
        {
            "primary": {"url": "http://a:1"},
            "candidates": [{"name": "v2", "url": "http://b:1"}],
            "embed": {"backend": "none"},
            "gates": only_errors(0.05),
            "verdict": {"soak_s": 0, "min_pairs": 50},
            "judge": {"stale_after_s": 60, "admin": {"url": "http://127.0.0.1:9901"}, **judge},
        }
    )


class Scripted:
    """A source that answers with what it is told to."""

    def __init__(self) -> None:
        self.reading = Reading(0.0, {}, frozenset())
        self.is_away = False

    async def read(self, rollouts: tuple[str, ...]) -> Reading:
        if self.is_away:
            raise NoAnswer("h:9090 did not answer: connection refused")
        return self.reading

    async def close(self) -> None:
        """Nothing is open."""


class Bench:
    def __init__(self) -> None:
        self.config = config()
        self.rollout = self.config.rollout_id(self.config.candidates[0])
        self.source = Scripted()
        self.clock = ManualClock(1000.0)
        self.told: list[tuple[str | None, object]] = []
        watcher = VerdictWatcher(History(HistoryKept()), self, 300.0, self.clock)
        self.judge = StandaloneJudge(self.config, self.source, watcher, self.clock)

    # It listens for events itself.
    def submit(self, change: Change) -> None:
        self.told.append((change.previous, change.document["state"]))

    def results(self) -> Mapping[str, int]:
        return {}

    async def close(self, within_s: float) -> None:
        """Nothing waits."""

    def show(self, good: float, bad: float = 0, problems: tuple[tuple[str, str], ...] = ()) -> None:
        """One boot, of which this is seen."""
        seen: dict[str, dict[tuple[str, ...], float]] = {}
        for metric, values in {
            PAIRS_ISSUED: {("chat", "candidate"): good + bad},
            CELLS: {("error", "both_ok"): good, ("error", "candidate_only"): bad},
            ROLLOUT_STARTED: {(): 500.0},
        }.items():
            seen[metric.name] = {key: value for key, value in values.items() if value}
        boot = {key: value for name, values in seen.items() for key, value in self._keys(name, values)}
        self.source.reading = Reading(1000.0, {"b1": {**boot, **self._counted(good + bad)}}, frozenset({"b1"}), problems=problems)

    def _keys(self, name: str, values: Mapping[tuple[str, ...], float]) -> list[tuple[CountKey, float]]:
        """Labels in the order of the table, whatever it is: those of cells are route, check and cell among others that are empty here."""
        known = {CELLS.name: ("check", "cell"), PAIRS_ISSUED.name: ("route", "arm"), ROLLOUT_STARTED.name: ()}[name]
        found = []
        for given, value in values.items():
            labels = {"rollout": self.rollout, "route": "chat", **dict(zip(known, given, strict=True))}
            found.append(((name, *(labels.get(label, "") for label in EVIDENCE[name].labels)), value))
        return found

    def _counted(self, pairs: float) -> dict[CountKey, float]:
        """Where pairs that are in the evidence have a count of their own."""
        metric = EVIDENCE.get("shadowproxy_pairs_counted_total")
        return {(metric.name, self.rollout, "chat"): pairs} if metric else {}

    async def look(self) -> dict[str, Any]:
        await self.judge.look()
        return self.shown()

    def shown(self) -> dict[str, Any]:
        (document,) = self.judge.verdicts()
        return dict(document)


def first_reason(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["reasons"][0]["code"], document["reasons"][0]["text"]


# --- holding --------------------------------------------------------------------------------------------------------------


async def test_before_the_first_answer_it_holds_and_says_why() -> None:
    bench = Bench()
    assert bench.shown()["state"] == "hold"
    assert first_reason(bench.shown()) == ("state_gap", "the source of counts has not answered yet: it was not asked yet")
    assert not bench.judge.health().ready
    bench.source.is_away = True
    assert first_reason(await bench.look())[1].endswith("yet: h:9090 did not answer: connection refused")
    assert bench.judge.health().alive


async def test_counts_that_are_seen_become_a_verdict() -> None:
    bench = Bench()
    bench.show(good=1, bad=99)
    document = await bench.look()
    assert (document["state"], first_reason(document)[0], document["issued"]) == ("rollback", "worse:error", 100)
    assert bench.judge.health().ready


async def test_answer_that_stays_away_lets_the_last_stand_for_a_while_and_then_holds() -> None:
    bench = Bench()
    bench.show(good=1, bad=99)
    await bench.look()
    bench.source.is_away = True
    bench.clock.advance(60)
    assert (await bench.look())["state"] == "rollback"
    bench.clock.advance(1)
    document = await bench.look()
    assert document["state"] == "hold"
    assert first_reason(document) == (
        "state_gap",
        "no answer from the source of counts for 61 s: h:9090 did not answer: connection refused",
    )
    assert document["issued"] == 100, "what was seen is still shown"
    bench.source.is_away = False
    assert (await bench.look())["state"] == "rollback"


async def test_an_answer_that_cannot_be_read_is_none_and_the_verdict_gets_old_by_it() -> None:
    bench = Bench()
    bench.show(good=1, bad=99)
    await bench.look()
    read = bench.source.read
    bench.source.read = lambda _: 1 / 0  # type: ignore[assignment]
    bench.clock.advance(61)
    assert "(ZeroDivisionError: division by zero), a fault in shadowproxy itself" in first_reason(await bench.look())[1]
    bench.source.read = read  # type: ignore[method-assign]
    assert (await bench.look())["state"] == "rollback"


@pytest.mark.parametrize("good", [5000, 100_000])
async def test_what_a_look_could_not_see_is_never_good(good: int) -> None:
    bench = Bench()
    bench.show(good, problems=(("", "Prometheus cannot scrape h:1"),))
    document = await bench.look()
    assert (document["state"], first_reason(document)) == ("hold", ("state_gap", "Prometheus cannot scrape h:1"))


async def test_counts_that_went_backwards_hold_for_good() -> None:
    bench = Bench()
    bench.show(good=1, bad=99)
    await bench.look()
    bench.show(good=1, bad=50)
    assert "fell from" in first_reason(await bench.look())[1]
    bench.show(good=1, bad=120)
    assert (await bench.look())["state"] == "hold"


# --- showing and telling --------------------------------------------------------------------------------------------------


async def test_judge_that_has_just_started_tells_nobody_that_it_knows_nothing() -> None:
    bench = Bench()
    bench.source.is_away = True
    await bench.look()
    assert bench.told == []
    bench.source.is_away = False
    bench.show(good=1, bad=99)
    await bench.look()
    assert bench.told == [(None, "rollback")]


async def test_judge_that_stays_blind_tells_that_it_holds() -> None:
    bench = Bench()
    bench.source.is_away = True
    await bench.look()
    bench.clock.advance(61)
    await bench.look()
    assert bench.told == [(None, "hold")]


async def test_looks_are_counted_and_evidence_is_not_exported() -> None:
    bench = Bench()
    bench.show(good=100)
    await bench.look()
    bench.source.is_away = True
    await bench.look()
    await bench.look()
    assert bench.judge.totals.value(SOURCE_READS, "done") == 1
    assert bench.judge.totals.value(SOURCE_READS, "failed") == 2
    assert not [metric.name for metric in EVIDENCE.values() if list(bench.judge.totals.items(metric))]


async def test_failure_is_told_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.source.is_away = True
    for _ in range(3):
        await bench.look()
    assert [record.message for record in caplog.records] == ["no counts to judge: h:9090 did not answer: connection refused"]


async def test_surface_has_what_a_judge_can_show(aiohttp_served: Any) -> None:
    bench = Bench()
    bench.show(good=1, bad=99)
    await bench.look()
    client = await aiohttp_served(build_judge(bench.judge, None))
    for path in (each for each in JUDGE_ENDPOINTS if "{" not in each):
        assert (await client.get(path)).status == 200, path
    assert (await client.post("/flagger/rollback", json={})).status == 200, "yes, roll back"
    told = await (await client.get("/verdict/history?rollout=v2&limit=1")).json()
    assert [(each["kind"], each["previous"], each["state"]) for each in told["history"]] == [("change", None, "rollback")]
    for path in ("/", "/pairs", "/counts"):
        reply = await client.get(path)
        assert (reply.status, (await reply.json())["error"]["endpoints"]) == (404, dict(JUDGE_ENDPOINTS))
    assert (await client.post("/mirroring?on=false")).status == 404


async def test_surface_asks_for_its_token(aiohttp_served: Any) -> None:
    client = await aiohttp_served(build_judge(Bench().judge, "t0ken"))
    assert (await client.get("/verdict")).status == 401
    assert (await client.get("/", headers={"accept": "text/html"})).status == 401
    assert (await client.get("/verdict", headers=bearer("t0ken"))).status == 200
    assert (await client.get("/healthz")).status == 200


async def test_history_of_a_rollout_without_entries_is_empty_and_of_an_unknown_one_an_error(aiohttp_served: Any) -> None:
    state = FakeState("small")
    client = await aiohttp_served(build(state, None))
    assert await (await client.get("/verdict/history?rollout=small")).json() == {"history": []}
    assert (await client.get("/verdict/history?rollout=tiny")).status == 404
    state.entries = [{"rollout": "gone-0123456789ab", "candidate": "gone", "at_s": 1.0}]
    assert len((await (await client.get("/verdict/history?rollout=gone")).json())["history"]) == 1, "it outlives its configuration"
    assert (await client.get("/verdict/history?limit=0")).status == 400
    assert (await client.get("/verdict/history?last=3")).status == 400


# --- configuration --------------------------------------------------------------------------------------------------------


async def test_source_is_the_one_that_is_configured() -> None:
    assert isinstance(source_of(config()), AdminApi)
    assert isinstance(source_of(config(admin=None, prometheus={"url": "http://prometheus:9090"})), Prometheus)


def test_judge_without_a_source_or_candidates_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"judge: names no source of counts; add judge\.prometheus"):
        source_of(config(admin=None))
    with pytest.raises(ConfigError, match="candidates: names nobody to judge"):
        source_of(config().model_copy(update={"candidates": ()}))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"prometheus": {"url": "http://p:9090"}}, "judge: has two sources of counts; keep either prometheus or admin"),
        ({"admin": None, "prometheus": {"url": "p:9090"}}, "judge.prometheus.url: p:9090 is not a URL; write http://host:port"),
        ({"admin": None, "prometheus": {"url": "http://p:9090", "window_s": 60}}, "judge.prometheus.window_s: 60 is not at least 600"),
        ({"events": {"url": "http://hook?token=1"}}, "has a query or fragment"),
        ({"events": {"source": ""}}, "judge.events.source"),
        ({"history": {"entries": 0}}, "judge.history.entries: 0 is not"),
    ],
)
def test_wrong_section_names_key_and_remedy(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**section)
    assert says in str(refused.value)


def test_judging_elsewhere_is_no_other_rollout() -> None:
    here, there = config(admin=None), config(interval_s=1, events={"url": "http://hook"})
    assert here.rollout_id(here.candidates[0]) == there.rollout_id(there.candidates[0])
