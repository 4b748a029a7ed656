"""What the counts of a stratum say about a gate, and how it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.checks import CHECKS
from shadowproxy.verdict.findings import Finding, GateOutcome, Levels, Sample, judge
from shadowproxy.verdict.gates import DEFAULT_MARGINS, Role, gate_rules
from shadowproxy.verdict.limits import Budget
from shadowproxy.verdict.wording import WORDINGS, wording_of

EVERY_GATE = {name: 0.02 if margin is None else margin for name, margin in DEFAULT_MARGINS.items()}
RULES = {rule.name: rule for rule in gate_rules(EVERY_GATE, [Budget("slow", "ttft", 0.8, 0.01)])}
LEVELS = Levels(0.05, 0.05)


def one(gate: str, sample: Sample, levels: Levels = LEVELS) -> Finding:
    [finding] = judge([(RULES[gate], sample)], levels)
    return finding


def found(gate: str, lost: int = 0, family: int = 1, pairs_per_s: float = 0.0, **counts: int) -> Finding:
    return one(gate, Sample("chat", counts, lost, pairs_per_s), replace(LEVELS, family=family))


def test_many_equal_pairs_pass() -> None:
    finding = found("error", both_ok=3990, both_bad=10)
    assert finding.outcome is GateOutcome.PASS
    assert finding.upper < finding.margin
    assert finding.pairs_needed == 0
    assert finding.reason == "candidate fails 0.25 % of requests, primary 0.25 %: at most 0.14 points worse, margin 0.5"


def test_a_candidate_that_fails_is_named_in_plain_words() -> None:
    finding = found("error", both_ok=878, candidate_only=118, reference_only=2, both_bad=2)
    assert finding.outcome is GateOutcome.FAIL
    assert finding.lower > finding.margin
    assert finding.pairs_needed is None
    assert finding.reason == "candidate fails 12.0 % of requests, primary 0.4 %: at least 8.7 points worse, margin 0.5"


def test_doubt_says_what_it_knows_and_how_much_is_missing() -> None:
    finding = found("error", pairs_per_s=2.0, both_ok=495, candidate_only=5)
    assert finding.outcome is GateOutcome.INCONCLUSIVE
    assert finding.reason.endswith("points worse, margin 0.5; will not pass as things are")
    finding = found("error", pairs_per_s=2.0, both_ok=499, candidate_only=1)
    assert finding.pairs_needed is not None
    assert finding.seconds_needed == finding.pairs_needed / 2
    assert f"; about {finding.pairs_needed:,} more pairs (" in finding.reason


def test_time_is_unknown_while_no_pairs_come() -> None:
    finding = found("error", both_ok=499, candidate_only=1)
    assert finding.pairs_needed is not None
    assert finding.seconds_needed is None


def test_no_data_is_inconclusive() -> None:
    finding = found("similarity")
    assert finding.outcome is GateOutcome.INCONCLUSIVE
    assert (finding.n, finding.mean, finding.lower, finding.upper, finding.pairs_needed) == (0, None, -1.0, 1.0, None)
    assert finding.log10_e_promote == pytest.approx(0, abs=1e-12)


def test_scores_are_said_in_their_own_unit() -> None:
    worse = one("similarity", Sample("chat", {"+0.10": 600}))
    assert worse.outcome is GateOutcome.FAIL
    assert worse.reason.startswith(
        "candidate's answers are 0.100 less similar to the primary's than the primary's own second answers: at least 0.0"
    )
    better = one("similarity", Sample("chat", {"-0.10": 600}))
    assert better.reason.startswith("candidate's answers are 0.100 more similar")
    assert ": at least 0.0" in better.reason
    assert better.reason.endswith(" better, margin 0.020")
    absolute = one("similarity_absolute", Sample("chat", {"+0.05": 600}))
    assert absolute.outcome is GateOutcome.PASS
    assert absolute.reason.startswith("candidate's answers have a mean similarity of 0.950 to the primary's: at most 0.")


def test_lost_pairs_are_taken_at_their_worst_both_ways() -> None:
    counts = {"both_ok": 2000}
    assert found("error", **counts).outcome is GateOutcome.PASS
    lossy = found("error", lost=15, **counts)
    assert lossy.outcome is GateOutcome.INCONCLUSIVE
    assert (lossy.n, lossy.mean) == (2000, 0.0)
    assert lossy.upper > found("error", **counts).upper
    assert lossy.lower < found("error", **counts).lower
    failing = {"both_ok": 970, "candidate_only": 30}
    assert found("error", **failing).outcome is GateOutcome.FAIL
    assert found("error", lost=30, **failing).outcome is GateOutcome.INCONCLUSIVE


def test_one_gate_among_many_must_be_surer_to_fail_but_not_to_pass() -> None:
    counts = {"both_ok": 88, "candidate_only": 12}
    assert found("error", **counts).outcome is GateOutcome.FAIL
    assert found("error", family=1000, **counts).outcome is GateOutcome.INCONCLUSIVE
    assert found("error", family=1000, both_ok=2000).outcome is GateOutcome.PASS


def test_a_candidate_that_is_down_is_seen_within_ten_pairs() -> None:
    assert found("error", candidate_only=10).outcome is GateOutcome.FAIL


@given(st.fixed_dictionaries({cell: st.integers(0, 500) for cell in CHECKS["error"]}), st.integers(0, 10), st.integers(1, 20))
def test_bounds_bracket_the_mean_and_no_finding_contradicts_itself(counts: dict[str, int], lost: int, family: int) -> None:
    finding = found("error", lost, family, **counts)
    if finding.mean is not None:
        assert finding.lower <= finding.mean + 1e-9
        assert finding.mean <= finding.upper + 1e-9
    if finding.outcome is GateOutcome.PASS:
        assert finding.upper <= finding.margin + 1e-6
    if finding.outcome is GateOutcome.FAIL:
        assert finding.lower >= finding.margin - 1e-6


samples = st.lists(
    st.builds(
        Sample, st.sampled_from("abc"), st.fixed_dictionaries({cell: st.integers(0, 500) for cell in CHECKS["error"]}), st.integers(0, 9)
    ),
    max_size=5,
)


@given(samples)
def test_many_strata_at_once_give_what_each_would_give_alone(given_samples: list[Sample]) -> None:
    for together, sample in zip(judge([(RULES["error"], sample) for sample in given_samples], LEVELS), given_samples, strict=True):
        alone = one("error", sample)
        assert (together.outcome, together.n, together.mean, together.counts) == (alone.outcome, alone.n, alone.mean, alone.counts)
        assert (together.lower, together.upper) == (pytest.approx(alone.lower, abs=2e-7), pytest.approx(alone.upper, abs=2e-7))
        assert together.log10_e_promote == pytest.approx(alone.log10_e_promote, abs=1e-9)
        assert together.log10_e_rollback == pytest.approx(alone.log10_e_rollback, abs=1e-9)


def test_no_stratum_no_finding() -> None:
    assert judge([], LEVELS) == ()


def test_what_was_not_reported_is_taken_at_its_worst_both_ways() -> None:
    """A candidate that never reports its usage neither passes the cost gate by that nor is rolled back by it."""
    silent = one("cost", Sample("chat", {"unreported": 5000, "+1.00": 20}))
    assert silent.outcome is GateOutcome.INCONCLUSIVE
    assert (silent.n, silent.mean) == (5020, 1.0)
    assert one("cost", Sample("chat", {"unreported": 5000})).mean is None
    assert one("budget:slow", Sample("chat", {"ok": 5000})).outcome is GateOutcome.PASS
    assert one("budget:slow", Sample("chat", {"ok": 5000, "unreported": 5000})).outcome is GateOutcome.INCONCLUSIVE


@pytest.mark.parametrize("gate", RULES)
def test_every_gate_can_say_what_it_found(gate: str) -> None:
    rule = RULES[gate]
    labels = sorted(CHECKS.get(rule.check, {"ok": 0.0, "bad": 1.0}), key=lambda cell: CHECKS.get(rule.check, {"ok": 0, "bad": 1})[cell])
    for cell, outcome in ((labels[0], GateOutcome.PASS), (labels[-1], GateOutcome.FAIL)):
        finding = one(gate, Sample("chat", {cell: 5000}))
        assert finding.outcome is outcome
        assert ", margin " in finding.reason
        assert "{" not in finding.reason


def test_every_check_of_a_gate_has_its_words() -> None:
    assert set(WORDINGS) == {rule.check for rule in RULES.values()} - {"budget:slow"}
    assert wording_of("budget:slow") is wording_of("budget:dear")


def test_gates_read_like_this() -> None:
    assert found("tools", both_ok=900, candidate_only=70, reference_only=10, both_bad=20).reason.startswith(
        "candidate calls other tools in 9.0 % of requests, the primary asked again in 3.0 %: at least "
    )
    assert one("refusal_absolute", Sample("chat", {"ok": 960, "bad": 40})).reason.startswith(
        "candidate declines where the primary does not, or the reverse, in 4.0 % of requests: between "
    )
    assert one("budget:slow", Sample("chat", {"ok": 5000, "bad": 5})).reason == (
        "candidate is over this budget in 0.1 % of requests: at most 0.32 % in all, margin 1.0 %"
    )
    assert one("tokens", Sample("chat", {"+0.10": 500})).reason.startswith(
        "candidate's mean number of tokens is 10.0 % of the cap over what the ratio allows: at least "
    )


def test_a_finding_keeps_the_role_it_was_judged_in() -> None:
    assert one("tools", Sample("chat", {"both_ok": 3}, role=Role.WATCH)).role is Role.WATCH
    assert one("tools", Sample("chat", {"both_ok": 3})).role is Role.GUARD
    assert one("aa_error", Sample("chat", {"both_ok": 3})).role is Role.NEGATIVE_CONTROL
