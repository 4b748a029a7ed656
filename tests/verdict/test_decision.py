"""The decision table: which row speaks, in what order, and with what reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.verdict.case import UNMEASURED_AFTER
from shadowproxy.verdict.cells import CellKey, merge
from shadowproxy.verdict.checks import CHECKS
from shadowproxy.verdict.decision import Evidence, OnTimeout, Rules, State, Verdict, decide
from shadowproxy.verdict.findings import GateOutcome
from shadowproxy.verdict.gates import DEFAULT_MARGINS, GATE_NAMES, GateRule, Role, gate_rules
from shadowproxy.verdict.limits import Budget
from shadowproxy.verdict.reasons import REASONS, REMEDIES, Reason
from shadowproxy.verdict.splits import Split


def only(**margins: float | None) -> tuple[GateRule, ...]:
    """The gates with these margins and no others."""
    return gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "similarity_absolute": 0.2, **margins})


def rules(
    error_margin: float | None = 0.005, similarity_margin: float | None = 0.02, ttft_margin: float | None = 0.0
) -> tuple[GateRule, ...]:
    return only(error=error_margin, similarity=similarity_margin, ttft=ttft_margin)


RULES = Rules(gates=rules())
#: Every code that some test here has seen; compared with REASONS at the end of the file.
SEEN: set[str] = set()


def cells(route: str = "chat", **checks: dict[str, int]) -> dict[CellKey, int]:
    return {CellKey(route, check, cell): n for check, counts in checks.items() for cell, n in counts.items()}


def good(n: int = 4000, route: str = "chat") -> dict[CellKey, int]:
    """A candidate that equals the primary."""
    return cells(
        route,
        error={"both_ok": n},
        aa_error={"both_ok": n},
        ttft_tail={"both_ok": n - n // 20, "reference_only": n // 20},
        aa_ttft_tail={"both_ok": n - n // 20, "reference_only": n // 20},
        similarity={"0.00": n},
    )


def failing(n: int = 1000, route: str = "chat", check: str = "error") -> dict[CellKey, int]:
    """A tenth of all requests."""
    return cells(route, **{check: {"both_ok": n - n // 10, "candidate_only": n // 10}})


def evidence(counts: dict[CellKey, int], **changes: object) -> Evidence:
    pairs = sum(n for key, n in counts.items() if key.check == "error")
    known = Evidence(counts, issued=pairs, unresolved=0, age_s=3600.0, pairs_per_s=2.0, has_control=True)
    return replace(known, **changes)


def judged(counts: dict[CellKey, int], limits: Rules = RULES, **changes: object) -> Verdict:
    verdict = decide(limits, evidence(counts, **changes))
    SEEN.update(reason.code for reason in verdict.reasons)
    return verdict


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


# --- promote --------------------------------------------------------------------------------------------------------------


def test_an_equal_candidate_is_promoted() -> None:
    verdict = judged(good())
    assert verdict.state is State.PROMOTE
    assert codes(verdict) == ["within_margins"] * 3
    assert [finding.gate for finding in verdict.findings] == ["error", "similarity", "ttft", "aa_error", "aa_ttft"]
    assert verdict.pairs == 4000
    assert verdict.e_rollback_log10 < 0


def test_promotion_takes_every_gate_on_every_route() -> None:
    quiet = good(400, "tools")
    verdict = judged(merge(good(), quiet))
    assert verdict.state is State.HOLD
    assert {(reason.route, reason.gate) for reason in verdict.reasons} == {("tools", "error")}


def test_promotion_waits_for_the_soak() -> None:
    verdict = judged(good(), age_s=1799.0)
    assert verdict.state is State.HOLD
    assert codes(verdict) == ["soak"]
    assert verdict.reasons[0].text == "30 min since the first pair, at least 30 min before a promotion"
    assert judged(good(), age_s=1800.0).state is State.PROMOTE


def test_promotion_waits_for_enough_pairs_in_every_cell() -> None:
    limits = Rules(min_pairs=2000, gates=rules(error_margin=0.05))
    counts = merge(good(5000), good(1999, "tools"))
    verdict = judged(counts, limits)
    assert verdict.state is State.HOLD
    assert set(codes(verdict)) == {"min_pairs"}
    assert verdict.reasons[0].text == "tools, error: 1,999 of at least 2,000 pairs"
    assert judged(merge(good(5000), good(2000, "tools")), limits).state is State.PROMOTE


def test_promotion_is_not_latched() -> None:
    """What was enough an hour ago is not enough when later pairs fail."""
    assert judged(good()).state is State.PROMOTE
    later = judged(merge(good(), cells(error={"candidate_only": 25, "both_ok": 500})))
    assert later.state is State.HOLD
    assert judged(merge(good(), failing(2000))).state is State.ROLLBACK


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_alpha_promote_sets_how_sure_a_pass_must_be(alpha: float) -> None:
    limits = Rules(alpha_promote=alpha, gates=rules(similarity_margin=None, ttft_margin=None))
    n = next(n for n in range(500, 4000, 10) if judged(cells(error={"both_ok": n}), limits).state is State.PROMOTE)
    assert n == {0.01: 1510, 0.05: 1150, 0.2: 780}[alpha]


def test_a_check_that_sees_fewer_pairs_does_not_lower_the_count_of_pairs() -> None:
    counts = {**cells(error={"both_ok": 4000}), **cells(similarity={"0.00": 500})}
    assert judged(counts).pairs == judged(dict(reversed(counts.items()))).pairs == 4000


# --- rollback -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "gate"), [("error", "error"), ("ttft_tail", "ttft")])
def test_a_candidate_worse_than_a_margin_is_rolled_back_by_name(check: str, gate: str) -> None:
    others = {key: n for key, n in good(1000).items() if key.check != check}
    verdict = judged(merge(others, failing(check=check)))
    assert verdict.state is State.ROLLBACK
    assert codes(verdict) == [f"worse:{gate}"]
    assert [finding.gate for finding in verdict.findings if finding.outcome is GateOutcome.FAIL] == [gate]
    assert verdict.reasons[0].numbers["lower"] > verdict.reasons[0].numbers["margin"]


def test_similarity_worse_than_the_margin_is_rolled_back() -> None:
    assert codes(judged(cells(error={"both_ok": 500}, similarity={"+0.10": 500}))) == ["worse:similarity"]
    verdict = judged(cells(error={"both_ok": 500}, similarity_absolute={"+0.40": 500}), has_control=False)
    assert verdict.state is State.ROLLBACK
    assert codes(verdict) == ["worse:similarity_absolute", "no_control"]


def test_rollback_needs_neither_soak_nor_many_pairs() -> None:
    down = cells(error={"candidate_only": 12}, ttft_tail={"candidate_only": 12}, similarity={"+0.90": 12})
    verdict = judged(down, age_s=1.0)
    assert verdict.state is State.ROLLBACK
    assert set(codes(verdict)) == {"worse:error", "worse:ttft", "worse:similarity"}


def test_one_noisy_cell_among_many_does_not_roll_back() -> None:
    """The mean over cells must be sure, not some cell: of twelve fair cells one will look bad."""
    noisy = {"both_ok": 196, "candidate_only": 13}
    alone = Rules(gates=rules(similarity_margin=None, ttft_margin=None))
    assert judged(cells(error=noisy), alone).state is State.ROLLBACK
    routes = [cells(f"r{i}", error={"both_ok": 209}) for i in range(11)]
    verdict = judged(merge(cells(error=noisy), *routes), alone)
    assert verdict.state is State.HOLD
    assert verdict.findings[0].log10_e_rollback > 1.31
    assert all(finding.outcome is not GateOutcome.FAIL for finding in verdict.findings)


def test_where_no_cell_is_sure_by_itself_the_largest_is_named() -> None:
    """Several gates lean the same way: together they are sure, and the one that weighs most is named."""
    alone = Rules(gates=rules(similarity_margin=None, ttft_margin=0.005))
    for bad in range(1, 40):
        lean = {"both_ok": 200, "candidate_only": bad}
        verdict = judged(cells(error=lean, ttft_tail=lean), alone)
        if verdict.state is State.ROLLBACK:
            break
    assert all(finding.log10_e_rollback < 1.61 for finding in verdict.findings), "both were sure by themselves"
    assert codes(verdict) == ["worse:error"]
    assert [finding.outcome for finding in verdict.findings if finding.role is Role.GUARD] == [GateOutcome.FAIL, GateOutcome.INCONCLUSIVE]
    assert "at least" in verdict.reasons[0].text
    assert verdict.reasons[0].numbers["lower"] >= 0.005 - 1e-6


# --- order ----------------------------------------------------------------------------------------------------------------

BIASED = cells(aa_error={"both_ok": 900, "candidate_only": 100})


def test_lost_counts_come_before_everything() -> None:
    verdict = judged(merge(failing(), BIASED), state_gap=True, unresolved=15)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["state_gap"])


@pytest.mark.parametrize("changes", [{"issued": -1}, {"unresolved": -1}, {"unresolved_by_route": {"chat": -1}}])
def test_counts_below_zero_are_lost_counts(changes: dict[str, object]) -> None:
    assert codes(judged(good(), **changes)) == ["state_gap"]


def test_a_cell_below_zero_is_a_lost_count() -> None:
    assert codes(judged({**good(), CellKey("chat", "error", "candidate_only"): -3})) == ["state_gap"]


def test_a_biased_instrument_comes_before_rollback() -> None:
    verdict = judged(merge(failing(), BIASED), unresolved=15)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["aa_bias"])
    assert verdict.reasons[0].text.startswith("aa_error: control fails 10.0 % of requests, primary 0 %: at least ")
    assert [finding.outcome for finding in verdict.findings if finding.gate == "aa_error"] == [GateOutcome.FAIL]


def test_a_control_that_fails_as_often_as_the_primary_is_no_bias() -> None:
    fair = cells(aa_error={"both_ok": 900, "candidate_only": 50, "reference_only": 50})
    assert judged(merge(good(), fair)).state is State.PROMOTE


def test_without_control_arm_its_old_cells_are_no_evidence() -> None:
    assert "aa_bias" not in codes(judged(merge(good(), BIASED), has_control=False))


def test_rollback_comes_before_incomplete_pairs() -> None:
    verdict = judged(failing(), unresolved=15)
    assert (verdict.state, codes(verdict)) == (State.ROLLBACK, ["worse:error"])


def test_incomplete_pairs_come_before_promotion() -> None:
    limits = Rules(gates=rules(error_margin=0.1, similarity_margin=0.2, ttft_margin=0.1))
    assert judged(good(), limits, issued=4040, unresolved=40).state is State.PROMOTE
    verdict = judged(good(), limits, issued=4041, unresolved=41)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["incomplete_pairs"])
    assert verdict.reasons[0].text == "1.0 % of 4,041 issued pairs were lost on our side, limit 1.0 %"


def test_pairs_lost_without_any_being_issued_hold() -> None:
    assert codes(judged({}, issued=0, unresolved=3)) == ["incomplete_pairs"]


# --- lost pairs -----------------------------------------------------------------------------------------------------------


def test_lost_pairs_below_the_limit_count_as_failures_against_promotion() -> None:
    assert judged(good(), issued=4005, unresolved=5).state is State.PROMOTE
    verdict = judged(good(), issued=4020, unresolved=20)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["undecided"])


def test_lost_pairs_count_as_successes_against_rollback() -> None:
    counts = cells(error={"both_ok": 970, "candidate_only": 30})
    assert judged(counts).state is State.ROLLBACK
    assert judged(counts, issued=5000, unresolved=40).state is State.HOLD


def test_lost_pairs_of_a_known_route_count_there_and_of_an_unknown_one_everywhere() -> None:
    counts = merge(good(), good(4000, "tools"))
    anywhere = judged(counts, issued=8020, unresolved=20)
    assert {reason.route for reason in anywhere.reasons} == {"chat", "tools"}
    somewhere = judged(counts, issued=8020, unresolved=20, unresolved_by_route={"chat": 20})
    assert {reason.route for reason in somewhere.reasons} == {"chat"}
    elsewhere = judged(counts, issued=8020, unresolved=20, unresolved_by_route={"gone": 20})
    assert {reason.route for reason in elsewhere.reasons} == {"chat", "tools"}


# --- hold -----------------------------------------------------------------------------------------------------------------


def test_no_data_is_never_good() -> None:
    verdict = judged({}, issued=0)
    assert (verdict.state, codes(verdict), verdict.pairs) == (State.HOLD, ["no_data"], 0)
    assert all(finding.outcome is GateOutcome.INCONCLUSIVE for finding in verdict.findings)


@pytest.mark.parametrize("check", ["error", "similarity", "ttft_tail"])
def test_a_gate_that_saw_nothing_anywhere_holds_for_ever(check: str) -> None:
    counts = {key: n for key, n in good(100_000).items() if key.check != check}
    verdict = judged(counts, issued=100_000)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["no_data"])


def test_a_check_that_does_not_apply_on_a_route_stops_guarding_it_and_says_so() -> None:
    """Embeddings have no text and no first token; the chat route beside them has."""
    embeddings = cells("embeddings", error={"both_ok": 2000})
    verdict = judged(merge(good(), embeddings))
    assert verdict.state is State.PROMOTE
    assert codes(verdict) == ["within_margins"] * 4 + ["unmeasured"]
    note = verdict.reasons[-1]
    assert (note.route, note.text) == ("embeddings", "embeddings: nothing to measure in 2,000 pairs for similarity, ttft; no guard there")


def test_silence_on_a_new_route_holds_at_first() -> None:
    limits = Rules(gates=rules(error_margin=0.1))
    young = cells("embeddings", error={"both_ok": UNMEASURED_AFTER - 1})
    verdict = judged(merge(good(), young), limits)
    assert (verdict.state, set(codes(verdict))) == (State.HOLD, {"no_data"})


def test_doubt_has_one_reason_a_cell() -> None:
    verdict = judged(merge(good(300), good(60, "tools")), age_s=60.0)
    assert verdict.state is State.HOLD
    assert [(reason.code, reason.route, reason.gate) for reason in verdict.reasons] == [
        ("undecided", "chat", "error"),
        ("min_pairs", "tools", "error"),
        ("min_pairs", "tools", "similarity"),
        ("min_pairs", "tools", "ttft"),
        ("soak", "", ""),
    ]


def test_undecided_tells_how_long_it_may_take() -> None:
    verdict = judged(cells(error={"both_ok": 500}), Rules(gates=rules(similarity_margin=None, ttft_margin=None)))
    reason = verdict.reasons[0]
    assert reason.code == "undecided"
    assert reason.numbers["pairs_needed"] == verdict.findings[0].pairs_needed
    assert reason.numbers["seconds_needed"] == pytest.approx(reason.numbers["pairs_needed"] / 2)
    assert f"about {reason.numbers['pairs_needed']:,.0f} more pairs" in reason.text


def test_a_quiet_route_waits_longer_for_its_pairs() -> None:
    verdict = judged(merge(good(900), good(100, "tools")))
    quiet = next(finding for finding in verdict.findings if (finding.route, finding.gate) == ("tools", "error"))
    assert quiet.pairs_needed is not None
    assert quiet.seconds_needed == pytest.approx(quiet.pairs_needed / (2.0 * 0.1))


def test_after_max_pairs_doubt_is_called_near_margin() -> None:
    on_margin = cells(error={"both_ok": 59_700, "candidate_only": 300})
    limits = Rules(gates=rules(similarity_margin=None, ttft_margin=None))
    verdict = judged(on_margin, limits)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["near_margin"])
    assert "undecided after 60,000 pairs" in verdict.reasons[0].text
    assert codes(judged(on_margin, replace(limits, max_pairs=60_001))) == ["undecided"]


def test_without_control_the_absolute_threshold_decides_and_the_verdict_says_so() -> None:
    counts = cells(error={"both_ok": 4000}, ttft_tail={"both_ok": 3800, "reference_only": 200}, similarity_absolute={"+0.10": 4000})
    verdict = judged(counts, has_control=False)
    assert verdict.state is State.PROMOTE
    assert codes(verdict) == ["within_margins"] * 3 + ["no_control"]
    assert [finding.gate for finding in verdict.findings] == ["error", "similarity_absolute", "ttft"]


def test_similarity_switched_off_needs_no_control() -> None:
    limits = Rules(gates=rules(similarity_margin=None))
    assert "no_control" not in codes(judged(good(), limits, has_control=False))


def test_unknown_cells_are_left_out_and_reported() -> None:
    strange = {CellKey("chat", "colour", "blue"): 7, CellKey("chat", "error", "perhaps"): 9, CellKey("moon", "similarity", "+0.07"): 10**6}
    verdict = judged(merge(good(), strange))
    assert verdict.state is State.PROMOTE
    assert verdict.pairs == 4000
    assert verdict.findings == judged(good()).findings
    assert verdict.reasons[-1] == Reason(
        "unknown_cells", "counts of unknown cells are left out: colour/blue, error/perhaps, similarity/+0.07", {"cells": 3}
    )


# --- strata ---------------------------------------------------------------------------------------------------------------


def test_a_bad_route_is_not_hidden_behind_a_good_one() -> None:
    large, small = good(9200), merge(failing(800, "tools"), cells("tools", similarity={"0.00": 800}, ttft_tail={"both_ok": 800}))
    verdict = judged(merge(large, small))
    assert verdict.state is State.ROLLBACK
    assert {(reason.code, reason.route) for reason in verdict.reasons} == {("worse:error", "tools")}
    assert verdict.reasons[0].text.startswith("tools, error: candidate fails 10.0 % of requests")


def test_small_routes_are_judged_together() -> None:
    verdict = judged(merge(good(9000), *(good(200, f"r{i}") for i in range(5))))
    assert {finding.route for finding in verdict.findings} == {"chat", "other"}
    assert {finding.n for finding in verdict.findings if finding.route == "other"} == {1000}


# --- slices ---------------------------------------------------------------------------------------------------------------


def sliced(label: str, counts: dict[CellKey, int]) -> dict[CellKey, int]:
    """The same counts as those of a slice."""
    return {key._replace(route="", slice=label): n for key, n in counts.items() if not key.check.startswith("aa_")}


def test_one_bad_slice_blocks_a_promotion_and_is_rolled_back_by_name() -> None:
    """German is a tenth of all requests on every route, and fails in a tenth of them: one percent in all."""
    limits = Rules(gates=rules(error_margin=0.02))
    german = merge(failing(1000, "chat"), cells(similarity={"0.00": 1000}, ttft_tail={"both_ok": 1000}))
    english = good(9000)
    counts = merge(english, german, sliced("language=en", english), sliced("language=de", german))
    verdict = judged(counts, limits)
    assert verdict.state is State.ROLLBACK
    assert [(reason.code, reason.route, reason.slice) for reason in verdict.reasons] == [("worse:error", "", "language=de")]
    assert verdict.reasons[0].text.startswith("language=de, error: candidate fails 10.0 % of requests")
    assert judged({key: n for key, n in counts.items() if not key.slice}, limits).state is State.PROMOTE
    assert verdict.pairs == 10_000, "slices are no more pairs"


def test_a_slice_that_is_not_shown_yet_holds() -> None:
    counts = merge(good(4000), sliced("tools=no", good(3600)), sliced("tools=yes", good(400)))
    verdict = judged(counts)
    assert verdict.state is State.HOLD
    assert {(reason.code, reason.slice, reason.gate) for reason in verdict.reasons} == {("undecided", "tools=yes", "error")}
    assert judged(good(4000)).state is State.PROMOTE


def test_small_slices_of_a_dimension_are_judged_together() -> None:
    tenants = [sliced(f"tenant=t{i}", good(150)) for i in range(8)]
    verdict = judged(merge(good(6000), sliced("tenant=acme", good(4800)), *tenants))
    assert {(finding.route, finding.slice) for finding in verdict.findings} == {("chat", ""), ("", "tenant=acme"), ("", "tenant=other")}
    assert {finding.n for finding in verdict.findings if finding.slice == "tenant=other"} == {1200}


def test_pairs_lost_in_a_known_slice_count_there() -> None:
    counts = merge(good(8000), sliced("tools=no", good(4000)), sliced("tools=yes", good(4000)))
    known = judged(counts, issued=8020, unresolved=20, unresolved_by_route={"chat": 20}, unresolved_by_slice={"tools=yes": 20})
    assert {finding.stratum: finding.lost for finding in known.findings if finding.gate == "error"} == {
        "chat": 20, "tools=no": 0, "tools=yes": 20
    }  # fmt: skip


def test_negative_controls_are_not_sliced() -> None:
    verdict = judged(merge(good(), sliced("tools=no", good(2000)), sliced("tools=yes", good(2000))))
    assert {finding.slice for finding in verdict.findings if finding.role is Role.NEGATIVE_CONTROL} == {""}


# --- gates that are in force when they are seen ------------------------------------------------------------------------------

CALLING = Rules(gates=only(error=0.005, tools=0.02))


def test_a_route_without_tool_calls_is_promoted_and_the_verdict_says_what_was_not_guarded() -> None:
    verdict = judged(cells(error={"both_ok": 4000}), CALLING)
    assert verdict.state is State.PROMOTE
    assert codes(verdict) == ["within_margins", "unmeasured"]
    assert verdict.reasons[-1].text == "chat: nothing to measure in 4,000 pairs for tools; no guard there"


def test_a_gate_guards_where_its_check_is_seen_in_a_fair_share() -> None:
    verdict = judged(cells(error={"both_ok": 4000}, tools={"both_ok": 200}), CALLING)
    assert verdict.state is State.HOLD
    assert codes(verdict) == ["undecided"]
    assert judged(cells(error={"both_ok": 4000}, tools={"both_ok": 400}), CALLING).state is State.PROMOTE


def test_a_few_calls_do_not_hold_a_promotion_back_for_ever_but_can_roll_back() -> None:
    rare = judged(cells(error={"both_ok": 4000}, tools={"both_ok": 20}), CALLING)
    assert rare.state is State.PROMOTE
    assert codes(rare) == ["within_margins", "seldom"]
    assert rare.reasons[-1].text == "chat, tools: seen in 20 of 4,000 pairs; can roll back, does not hold back"
    assert [finding.role for finding in rare.findings] == [Role.GUARD, Role.WATCH, Role.NEGATIVE_CONTROL]
    broken = judged(cells(error={"both_ok": 4000}, tools={"candidate_only": 20}), CALLING)
    assert broken.state is State.ROLLBACK
    assert codes(broken) == ["worse:tools", "seldom"]


def test_a_slice_in_which_a_gate_finds_nothing_is_said_where_it_should_have_found_something() -> None:
    plain, calling = cells(error={"both_ok": 2000}, ttft_tail={"both_ok": 2000}), cells(error={"both_ok": 2000}, tools={"both_ok": 2000})
    limits = Rules(gates=only(error=0.005, tools=0.02, ttft=0.01))
    verdict = judged(merge(plain, calling, sliced("streamed=yes", plain), sliced("streamed=no", calling)), limits)
    assert verdict.state is State.PROMOTE
    assert [(reason.code, reason.slice, reason.gate) for reason in verdict.reasons[-1:]] == [("unmeasured", "streamed=no", "ttft")]


def test_a_few_lost_pairs_weigh_no_more_on_a_gate_that_is_seldom_asked() -> None:
    counts = cells(error={"both_ok": 20_000}, tools={"both_ok": 2000})
    limits = Rules(gates=only(error=0.005, tools=0.01))
    verdict = judged(counts, limits, issued=20_015, unresolved=15)
    assert {finding.gate: finding.lost for finding in verdict.findings} == {"error": 15, "tools": 2, "aa_error": 0}
    assert verdict.state is State.PROMOTE


def test_only_gates_that_find_nothing_promote_nothing() -> None:
    verdict = judged(cells(error={"both_ok": 4000}), Rules(gates=only(tools=0.02)))
    assert verdict.state is State.HOLD


# --- shares that must come out as configured ----------------------------------------------------------------------------------


def test_a_share_that_is_off_holds_before_anything_else_is_believed() -> None:
    off = Split("control", 4700, 10_000, 0.5)
    verdict = judged(merge(failing(), BIASED), splits=(Split("mirrored", 1000, 10_000, 0.1), off), unresolved=15)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["srm"])
    assert verdict.reasons[0].text == "control: 47.0 % of 10,000, where 50.0 % was configured"
    assert judged(good(), splits=(Split("control", 4800, 10_000, 0.5),)).state is State.PROMOTE, "an e-value of 274 is no alarm"


# --- attempts -----------------------------------------------------------------------------------------------------------------


def test_attempts_of_one_candidate_share_one_error_rate() -> None:
    limits = [replace(RULES, attempt=attempt).levels for attempt in range(1, 2001)]
    assert sum(level.alpha_promote for level in limits) == pytest.approx(0.05, rel=1e-3)
    assert sum(level.alpha_rollback for level in limits) < 0.05
    assert RULES.levels.alpha_promote == 0.05


def test_a_later_attempt_must_be_surer() -> None:
    counts = cells(error={"both_ok": 1500})
    limits = Rules(gates=rules(similarity_margin=None, ttft_margin=None))
    assert judged(counts, replace(limits, attempt=1)).state is State.PROMOTE
    assert judged(counts, replace(limits, attempt=3)).state is State.HOLD
    worse = cells(error={"both_ok": 196, "candidate_only": 13})
    assert judged(worse, replace(limits, attempt=1)).state is State.ROLLBACK
    assert judged(worse, replace(limits, attempt=9)).state is State.HOLD


# --- the end of a rollout -----------------------------------------------------------------------------------------------------

OPEN = cells(error={"both_ok": 500})
ENDS = Rules(gates=rules(similarity_margin=None, ttft_margin=None), max_pairs=500)


@pytest.mark.parametrize(
    ("policy", "state", "code"),
    [
        (OnTimeout.HOLD, State.HOLD, "near_margin"),
        (OnTimeout.ROLLBACK, State.ROLLBACK, "timed_out"),
        (OnTimeout.MANUAL, State.HOLD, "manual"),
    ],
)
def test_the_policy_decides_what_becomes_of_an_undecided_rollout(policy: OnTimeout, state: State, code: str) -> None:
    verdict = judged(OPEN, replace(ENDS, on_timeout=policy))
    assert (verdict.state, codes(verdict)[0]) == (state, code)
    assert "near_margin" in codes(verdict)
    assert judged(OPEN, replace(ENDS, on_timeout=policy, max_pairs=501)).state is State.HOLD
    assert judged(cells(error={"both_ok": 4000}), replace(ENDS, on_timeout=policy)).state is State.PROMOTE


def test_nobody_is_rolled_back_for_waiting_out_the_soak() -> None:
    verdict = judged(cells(error={"both_ok": 4000}), replace(ENDS, on_timeout=OnTimeout.ROLLBACK), age_s=60.0)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["soak"])


@pytest.mark.parametrize("counts", [{}, OPEN])
def test_a_rollout_that_gets_old_on_little_traffic_says_so(counts: dict[CellKey, int]) -> None:
    aged = replace(ENDS, max_pairs=50_000, max_age_s=3600.0)
    assert codes(judged(counts, aged))[-1] == "low_traffic"
    assert "low_traffic" not in codes(judged(counts, aged, age_s=3599.0))
    assert judged(counts, replace(aged, on_timeout=OnTimeout.ROLLBACK)).state is State.ROLLBACK


def test_promotion_waits_for_enough_sessions_and_hours_where_they_are_counted() -> None:
    limits = replace(RULES, min_hours=2)
    assert judged(good(), limits).state is State.PROMOTE
    verdict = judged(good(), limits, sessions=29, hours=1)
    assert (verdict.state, codes(verdict)) == (State.HOLD, ["min_sessions", "soak"])
    assert [reason.text for reason in verdict.reasons] == ["29 of at least 30 sessions", "pairs in 1 of at least 2 clock hours"]
    assert judged(good(), limits, sessions=30, hours=2).state is State.PROMOTE


def test_a_primary_that_repeats_itself_makes_the_margin_a_demand_for_the_same_words() -> None:
    verdict = judged(merge(good(), cells(noise_floor={"0.00": 3900, "+0.05": 100})))
    assert codes(verdict)[-1] == "noise_floor"
    assert (
        verdict.reasons[-1].text == "the primary is 0.999 similar to itself: a margin of 0.02 asks the candidate for nearly the same words"
    )
    assert "noise_floor" not in codes(judged(merge(good(), cells(noise_floor={"0.00": 3000, "+0.05": 1000}))))
    assert "noise_floor" not in codes(judged(merge(good(), cells(noise_floor={"0.00": 99}))))


def test_all_gates_that_need_a_control_are_named_in_one_note() -> None:
    verdict = judged(cells(error={"both_ok": 4000}), Rules(gates=only(error=0.005, tools=0.02, similarity=0.02)), has_control=False)
    [note] = [reason for reason in verdict.reasons if reason.code == "no_control"]
    assert note.text.endswith("fixed thresholds judge instead: tools, similarity")


# --- properties -----------------------------------------------------------------------------------------------------------

_RANK = {State.ROLLBACK: 0, State.HOLD: 1, State.PROMOTE: 2}
_JUDGED_CHECKS = ("error", "similarity", "ttft_tail")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_pair_that_turns_worse_never_improves_the_verdict(data: st.DataObject) -> None:
    """The state, each e-value and each bound: whatever the counts, moving pairs to a worse value of D helps nothing."""
    limits = Rules(min_pairs=1, soak_s=0.0, gates=rules(error_margin=0.05, similarity_margin=0.05, ttft_margin=0.05))
    before: dict[CellKey, int] = {}
    for check in _JUDGED_CHECKS:
        labels = list(CHECKS[check]) if check != "similarity" else ["-0.50", "0.00", "+0.05", "+0.50"]
        for cell in labels:
            top = 1500 if cell in ("both_ok", "0.00") else 30
            before[CellKey("chat", check, cell)] = data.draw(st.integers(0, top))
    check = data.draw(st.sampled_from(_JUDGED_CHECKS))
    by_value = sorted((key for key in before if key.check == check), key=lambda key: CHECKS[check][key.cell])
    at = data.draw(st.integers(0, len(by_value) - 2))
    moved = data.draw(st.integers(0, before[by_value[at]]))
    after = {**before, by_value[at]: before[by_value[at]] - moved, by_value[-1]: before[by_value[-1]] + moved}
    one, two = decide(limits, evidence(before)), decide(limits, evidence(after))
    assert _RANK[two.state] <= _RANK[one.state]
    assert two.e_rollback_log10 >= one.e_rollback_log10 - 1e-9
    for left, right in zip(one.findings, two.findings, strict=True):
        assert right.log10_e_promote <= left.log10_e_promote + 1e-9
        assert right.upper >= left.upper - 1e-6


@given(
    st.dictionaries(
        st.builds(
            CellKey,
            st.sampled_from(["a", "b", "c", "other", ""]),
            st.sampled_from([*CHECKS, "colour"]),
            st.sampled_from(["both_ok", "candidate_only", "0.00", "+1.00", "-1.00", "perhaps"]),
        ),
        st.integers(-1, 10**9),
    ),
    st.integers(-1, 10**9),
    st.integers(-1, 10**9),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_counts_give_a_verdict_with_known_reasons(
    counts: dict[CellKey, int], issued: int, unresolved: int, has_control: bool, state_gap: bool
) -> None:
    verdict = decide(RULES, Evidence(counts, issued, unresolved, 10**6, 1.0, has_control, state_gap))
    assert verdict.reasons
    assert {reason.code for reason in verdict.reasons} <= set(REASONS)
    assert verdict == decide(RULES, Evidence(counts, issued, unresolved, 10**6, 1.0, has_control, state_gap))
    if verdict.state is State.PROMOTE:
        guards = [finding for finding in verdict.findings if finding.role is Role.GUARD]
        assert all(finding.outcome is GateOutcome.PASS for finding in guards)


def test_the_order_of_counts_does_not_matter() -> None:
    counts = merge(good(900), good(300, "tools"), failing(60, "small"))
    assert judged(counts) == judged(dict(reversed(counts.items())))


# --- rules and reasons ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"alpha_promote": 0.0}, {"alpha_rollback": 1.0}, {"gates": ()}, {"gates": only()}])
def test_rules_that_guard_nothing_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Rules(**changes)


def test_a_reason_needs_a_documented_code() -> None:
    with pytest.raises(ValueError):
        Reason("because", "so it is")


def test_each_gate_has_its_rollback_code() -> None:
    assert {code for code in REASONS if code.startswith("worse:")} == {f"worse:{name}" for name in GATE_NAMES}


EVERY_GATE = gate_rules(
    {name: 0.02 if margin is None else margin for name, margin in DEFAULT_MARGINS.items()}, [Budget("slow", "ttft", 0.8, 0.01)]
)
GUARDS = [rule for rule in EVERY_GATE if rule.role is Role.GUARD]


@pytest.mark.parametrize("rule", GUARDS, ids=lambda rule: rule.name)
def test_each_gate_rolls_back_under_its_own_code(rule: GateRule) -> None:
    worst = next(cell for cell in ("candidate_only", "bad", "+1.00") if CellKey("chat", rule.check, cell).is_known)
    counts = cells("chat", error={"both_ok": 400}) | {CellKey("chat", rule.check, worst): 400}
    verdict = judged(counts, Rules(gates=EVERY_GATE), has_control=not rule.stands_in_for)
    assert verdict.state is State.ROLLBACK
    assert codes(verdict)[0] == f"worse:{rule.family}"
    assert verdict.reasons[0].gate == rule.name


def test_every_code_has_a_remedy_of_one_line() -> None:
    assert set(REMEDIES) == set(REASONS)
    assert all(text and "\n" not in text for text in REMEDIES.values())


def test_documented_codes_are_one_line_and_start_with_the_state_they_lead_to() -> None:
    for text in REASONS.values():
        assert "\n" not in text
        assert text.partition(":")[0] in {"promote", "hold", "rollback", "note"}


def test_every_documented_code_is_produced() -> None:
    """Runs the cases itself, so that it holds when run alone."""
    for rule in GUARDS:
        test_each_gate_rolls_back_under_its_own_code(rule)
    for policy, code in ((OnTimeout.ROLLBACK, "timed_out"), (OnTimeout.MANUAL, "manual")):
        test_the_policy_decides_what_becomes_of_an_undecided_rollout(policy, judged(OPEN, replace(ENDS, on_timeout=policy)).state, code)
    test_a_share_that_is_off_holds_before_anything_else_is_believed()
    test_a_few_calls_do_not_hold_a_promotion_back_for_ever_but_can_roll_back()
    test_a_rollout_that_gets_old_on_little_traffic_says_so(OPEN)
    test_promotion_waits_for_enough_sessions_and_hours_where_they_are_counted()
    test_a_primary_that_repeats_itself_makes_the_margin_a_demand_for_the_same_words()
    test_without_control_the_absolute_threshold_decides_and_the_verdict_says_so()
    test_an_equal_candidate_is_promoted()
    test_promotion_waits_for_the_soak()
    test_promotion_waits_for_enough_pairs_in_every_cell()
    test_a_candidate_worse_than_a_margin_is_rolled_back_by_name("error", "error")
    test_a_candidate_worse_than_a_margin_is_rolled_back_by_name("ttft_tail", "ttft")
    test_similarity_worse_than_the_margin_is_rolled_back()
    test_lost_counts_come_before_everything()
    test_a_biased_instrument_comes_before_rollback()
    test_incomplete_pairs_come_before_promotion()
    test_no_data_is_never_good()
    test_a_check_that_does_not_apply_on_a_route_stops_guarding_it_and_says_so()
    test_undecided_tells_how_long_it_may_take()
    test_after_max_pairs_doubt_is_called_near_margin()
    test_unknown_cells_are_left_out_and_reported()
    assert set(REASONS) == SEEN
