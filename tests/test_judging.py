"""From totals fed by hand to verdict documents, under a clock that stands still."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.config import Config, Gates, build
from shadowproxy.counts import (
    CELLS,
    METRICS,
    PAIRS_COUNTED,
    PAIRS_ISSUED,
    PAIRS_PENDING,
    PAIRS_RESOLVED,
    ROLLOUT_STARTED,
    SAMPLED,
    WHOLE,
    Metric,
    Totals,
)
from shadowproxy.judging import Judge, rules_of
from shadowproxy.testing.clock import ManualClock
from shadowproxy.verdict.document import verify

OTHERS = ("ttft", "json_valid", "tool_valid", "tools", "facts", "refusal")


def config(**changes: object) -> Config:
    tree: dict[str, object] = {
        "primary": {"url": "http://a:1"},
        "candidates": [{"name": "v2", "url": "http://b:1"}],
        "embed": {"backend": "none"},
        "gates": {"error": {"margin": 0.05}, **{name: {"enabled": False} for name in OTHERS}},
        "verdict": {"soak_s": 60, "min_pairs": 50},
    }
    return build({**tree, **changes})


class Bench:
    """A judge with its totals; ``count`` reports what one boot of a shadow process has counted."""

    def __init__(self, settings: Config | None = None) -> None:
        self.config = settings or config()
        self.rollout = self.config.rollout_id(self.config.candidates[0])
        self.totals = Totals()
        self.clock = ManualClock(1000.0)
        self.judge = Judge(self.config, self.totals, self.clock)

    def count(self, boot: str, issued: int, resolved: int, *, pending: int = 0, lost: int = 0, cell: str = "both_ok") -> None:
        self.totals.absorb(
            boot,
            {
                (PAIRS_ISSUED.name, self.rollout, "chat", "candidate"): issued,
                (PAIRS_RESOLVED.name, self.rollout, "chat", "candidate", "ok"): resolved,
                (PAIRS_RESOLVED.name, self.rollout, "chat", "candidate", "dropped_local"): lost,
                (PAIRS_PENDING.name, self.rollout, "v2", "chat"): pending,
                (CELLS.name, self.rollout, "chat", "", "error", cell): resolved,
                (PAIRS_COUNTED.name, self.rollout, "chat"): resolved,
            },
        )

    def look(self) -> dict[str, Any]:
        self.judge.look()
        (document,) = self.judge.documents()
        return dict(document)

    def codes(self) -> list[str]:
        return [reason["code"] for reason in self.look()["reasons"]]


def test_nothing_seen_holds_for_want_of_data() -> None:
    bench = Bench()
    document = bench.look()
    assert (document["state"], document["issued"], document["age_s"]) == ("hold", 0, 0)
    assert bench.codes()[0] == "no_data"


def test_pairs_on_their_way_are_not_lost() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=100, resolved=60, pending=40)
    assert bench.look()["unresolved"] == 0


def test_pairs_of_a_killed_boot_are_lost_and_the_verdict_says_incomplete() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=100, resolved=60, pending=40)
    bench.totals.end("shadow/1")  # its gauge of pending pairs dies with it
    document = bench.look()
    assert document["unresolved"] == 40
    assert document["state"] == "hold"
    assert "incomplete_pairs" in bench.codes()
    bench.count("shadow/2", issued=10_000, resolved=10_000)
    assert bench.look()["unresolved"] == 40
    assert "incomplete_pairs" not in bench.codes()  # 40 of 10 100 are within one percent


def test_pairs_lost_on_our_side_count_as_unresolved() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=100, resolved=90, lost=10)
    assert bench.look()["unresolved"] == 10
    assert bench.codes()[0] == "incomplete_pairs"


def test_promotion_waits_for_the_soak_from_the_first_pair() -> None:
    bench = Bench()
    bench.look()
    bench.clock.advance(500)  # before the first pair no time counts
    bench.count("shadow/1", issued=3000, resolved=3000)
    assert bench.look()["age_s"] == 0
    assert bench.codes() == ["soak"]
    bench.clock.advance(59.5)
    assert bench.codes() == ["soak"]
    bench.clock.advance(0.5)
    assert bench.look()["state"] == "promote"
    assert bench.codes() == ["within_margins"]


def test_rollback_does_not_wait_for_the_soak() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=100, resolved=100, cell="candidate_only")
    assert bench.look()["state"] == "rollback"
    assert bench.codes()[0] == "worse:error"


def test_rate_follows_the_last_minute() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=0, resolved=0)
    assert bench.look()["pairs_per_s"] == 0
    for second in range(1, 31):
        bench.clock.advance(1)
        bench.count("shadow/1", issued=10 * second, resolved=10 * second)
        assert bench.look()["pairs_per_s"] == 10
    for _ in range(61):
        bench.clock.advance(1)
        quiet = bench.look()["pairs_per_s"]
    assert quiet == 0


def test_counts_of_other_rollouts_and_of_the_control_are_nobody_s_evidence_here() -> None:
    bench = Bench()
    bench.totals.absorb(
        "shadow/1",
        {
            (PAIRS_ISSUED.name, "v1-other", "chat", "candidate"): 7,
            (PAIRS_ISSUED.name, bench.rollout, "chat", "control"): 7,
            (CELLS.name, "v1-other", "chat", "", "error", "candidate_only"): 7,
        },
    )
    document = bench.look()
    assert (document["issued"], document["pairs"], document["unresolved"]) == (0, 0, 0)


def test_gates_that_cannot_be_measured_are_left_out_of_the_rules() -> None:
    assert {rule.name for rule in rules_of(config()).gates if rule.name in ("error", "ttft", "similarity")} == {"error"}
    full = config(gates={}, embed={"backend": "onnx"})
    assert {"error", "ttft", "similarity"} <= {rule.name for rule in rules_of(full).gates}


def test_control_that_is_sent_more_often_than_configured_is_a_mismatch() -> None:
    bench = Bench(config(control={"percent": 10}))
    bench.totals.absorb(
        "shadow/1",
        {
            (PAIRS_ISSUED.name, bench.rollout, "chat", "candidate"): 4000,
            (PAIRS_ISSUED.name, bench.rollout, "chat", "control"): 700,
            (PAIRS_COUNTED.name, bench.rollout, "chat"): 4000,
        },
    )
    assert bench.codes()[0] == "srm"


def test_sampling_that_comes_out_as_configured_is_none() -> None:
    bench = Bench(config(control={"percent": 10}))
    bench.count("shadow/1", issued=4000, resolved=4000)
    bench.totals.absorb(
        "gateway/1",
        {
            (PAIRS_ISSUED.name, bench.rollout, "chat", "control"): 405,
            (SAMPLED.name, "20", "yes"): 4000,
            (SAMPLED.name, "20", "no"): 16020,
        },
    )
    assert "srm" not in bench.codes()


def test_every_gate_of_the_configuration_is_in_the_rules() -> None:
    every = {name: {"enabled": True} for name in Gates.model_fields if name != "budgets"}
    budgets = [{"name": "slow", "measure": "ttft", "limit": 0.8, "share": 0.01}]
    prices = {"prices": {"models": [{"model": "*", "prompt": 1, "completion": 2}]}}
    judge = {"llm_judge": {"url": "http://judge:1", "model": "large"}}
    settings = config(gates={**every, "budgets": budgets}, embed={"backend": "onnx"}, compare=prices, **judge)
    found = {rule.name for rule in rules_of(settings).gates}
    assert {*every, "budget:slow", "similarity_absolute", "tools_absolute"} <= found
    off = config(gates={**{name: {"enabled": False} for name in every if name != "error"}})
    assert {rule.name for rule in rules_of(off).gates} == {"error", "aa_error"}


# --- counts of other processes ------------------------------------------------------------------------------------------


def test_counts_that_cannot_be_trusted_hold_with_what_is_missing_and_the_document_is_still_sealed() -> None:
    bench = Bench()
    bench.count("shadow/1", issued=100, resolved=100, cell="candidate_only")
    bench.judge.look({bench.rollout: "h:1 cannot be scraped"})
    (document,) = bench.judge.documents()
    assert document["state"] == "hold"
    first = document["reasons"][0]
    assert (first["code"], first["text"]) == ("state_gap", "h:1 cannot be scraped")
    assert verify(document)
    assert bench.look()["state"] == "rollback"


def test_evidence_that_cannot_be_read_holds_and_leaves_other_rollouts_their_verdicts(caplog: pytest.LogCaptureFixture) -> None:
    """A judge that had ended by it left a verdict to promote standing."""
    bench = Bench(config(candidates=[{"name": "v2", "url": "http://b:1"}, {"name": "v3", "url": "http://c:1"}], control={"percent": 50}))
    bench.count("shadow/1", issued=100, resolved=100, cell="candidate_only")
    other = bench.config.rollout_id(bench.config.candidates[1])
    bench.totals.absorb(
        "shadow/1",
        {
            (PAIRS_ISSUED.name, bench.rollout, "chat", "control"): 50,
            (PAIRS_ISSUED.name, other, "chat", "an arm of tomorrow"): 1,
        },
    )
    for _ in range(3):
        bench.judge.look()
    first, second = bench.judge.documents()
    assert first["state"] == "rollback"
    assert second["state"] == "hold"
    assert second["reasons"][0]["code"] == "state_gap"  # type: ignore[index]
    assert "(KeyError: 'an arm of tomorrow'), a fault in shadowproxy itself" in second["reasons"][0]["text"]  # type: ignore[index]
    assert verify(second)
    assert len(caplog.records) == 1


def test_first_pair_is_told_to_the_totals_in_unix_time_and_once() -> None:
    bench = Bench()
    wall = ManualClock(1_700_000_000.0)
    judge = Judge(bench.config, bench.totals, bench.clock, wall)
    judge.look()
    assert list(bench.totals.items(ROLLOUT_STARTED)) == []
    bench.count("shadow/1", issued=1, resolved=0, pending=1)
    for _ in range(3):
        judge.look()
        wall.advance(60)
    assert list(bench.totals.items(ROLLOUT_STARTED)) == [((bench.rollout,), 1_700_000_000.0)]


def test_rollout_is_as_old_as_the_first_pair_that_any_process_saw() -> None:
    bench = Bench()
    wall = ManualClock(1_700_000_000.0)
    judge = Judge(bench.config, bench.totals, bench.clock, wall)
    bench.count("shadow/1", issued=3000, resolved=3000)
    for started_s, age_s in ((1_700_000_000.0 - 30, 30), (1_700_000_000.0 - 90, 90), (1_700_000_000.0 + 5, 90)):
        bench.totals.absorb(WHOLE, {(ROLLOUT_STARTED.name, bench.rollout): started_s})
        judge.look()
        (document,) = judge.documents()
        assert document["age_s"] == age_s


def test_whatever_is_judged_from_is_exported_by_boot() -> None:
    """Or a judge over many processes would judge without it."""
    asked: set[Metric] = set()

    class Spying(Totals):
        def items(self, metric: Metric) -> Any:
            asked.add(metric)
            return super().items(metric)

    bench = Bench()
    totals = Spying()
    bench.totals = totals
    bench.judge = Judge(bench.config, totals, bench.clock)
    bench.count("shadow/1", issued=10, resolved=10)
    bench.look()
    assert asked == {metric for metric in METRICS if metric.is_per_boot}


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_ends_no_soak_and_begins_none(hours: int) -> None:
    bench = Bench()
    wall_s = 1_700_000_000.0
    judge = Judge(bench.config, bench.totals, bench.clock, lambda: wall_s)
    bench.count("shadow/1", issued=3000, resolved=3000)

    def age_s() -> object:
        judge.look()
        return judge.documents()[0]["age_s"]

    assert age_s() == 0
    wall_s += hours * 3600
    assert age_s() == 0
    wall_s -= hours * 3600
    bench.clock.advance(60)
    assert age_s() == 60
