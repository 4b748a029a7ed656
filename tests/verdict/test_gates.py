"""One gate on one stratum: the finding and how it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.cells import CHECKS
from shadowproxy.verdict.gates import GATE_NAMES, Finding, GateOutcome, GateRule, Levels, Role, Sample, judge, rules
from shadowproxy.verdict.wording import WORDINGS

RULES = {rule.name: rule for rule in rules()}
LEVELS = Levels(0.05, 0.05)


def found(gate: str, lost: int = 0, family: int = 1, pairs_per_s: float = 0.0, **counts: int) -> Finding:
    return judge(RULES[gate], Sample("chat", counts, lost, pairs_per_s), replace(LEVELS, family=family))


def test_the_table_of_gates_fits_the_table_of_checks() -> None:
    assert {rule.check for rule in RULES.values()} == set(CHECKS) == set(WORDINGS)
    assert GATE_NAMES == ("error", "similarity", "similarity_absolute", "ttft")
    assert [rule.name for rule in RULES.values() if rule.role is Role.NEGATIVE_CONTROL] == ["aa_error", "aa_ttft"]


def test_margins_come_from_outside_and_none_switches_a_gate_off() -> None:
    assert {rule.name: rule.margin for rule in rules(0.01, 0.03, 0.7, 0.002)} == {
        "error": 0.01,
        "similarity": 0.03,
        "similarity_absolute": pytest.approx(0.3),
        "ttft": 0.002,
        "aa_error": 0.01,
        "aa_ttft": 0.002,
    }
    assert [rule.name for rule in rules(error_margin=None)] == ["similarity", "similarity_absolute", "ttft", "aa_ttft"]
    assert [rule.name for rule in rules(similarity_margin=None)] == ["error", "ttft", "aa_error", "aa_ttft"]
    assert [rule.name for rule in rules(ttft_margin=None)] == ["error", "similarity", "similarity_absolute", "aa_error"]


@pytest.mark.parametrize(
    ("has_control", "names"),
    [(True, ["error", "similarity", "ttft", "aa_error", "aa_ttft"]), (False, ["error", "similarity_absolute", "ttft"])],
)
def test_the_absolute_threshold_stands_in_only_without_control(has_control: bool, names: list[str]) -> None:
    assert [rule.name for rule in RULES.values() if rule.is_in_force(has_control)] == names


@pytest.mark.parametrize(
    ("check", "margin", "support"),
    [("error", 1.0, (-1.0, 1.0)), ("error", -1.0, (-1.0, 1.0)), ("error", 0.1, (0.0, 1.0)), ("colour", 0.1, (-1.0, 1.0))],
)
def test_a_rule_that_cannot_be_tested_is_refused(check: str, margin: float, support: tuple[float, float]) -> None:
    with pytest.raises(ValueError):
        GateRule("new", check, margin, support)


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
    worse = judge(RULES["similarity"], Sample("chat", {"+0.10": 600}), LEVELS)
    assert worse.outcome is GateOutcome.FAIL
    assert worse.reason.startswith(
        "candidate's answers are 0.100 less similar to the primary's than the primary's own second answers: at least 0.0"
    )
    better = judge(RULES["similarity"], Sample("chat", {"-0.10": 600}), LEVELS)
    assert better.reason.startswith("candidate's answers are 0.100 more similar")
    assert ": at least 0.0" in better.reason
    assert better.reason.endswith(" better, margin 0.020")
    absolute = judge(RULES["similarity_absolute"], Sample("chat", {"+0.05": 600}), LEVELS)
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
