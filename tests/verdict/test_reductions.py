"""What one pair adds to each check."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Comparison, Divergence, Outcome, Severity, Side, Timing
from shadowproxy.verdict.checks import has_cell, value_of
from shadowproxy.verdict.limits import BUDGET_MEASURES, Budget, Limits, Ratio, TailThreshold
from shadowproxy.verdict.reductions import PairOutcome, Preference, reduce

LIMITS = Limits(tails={"ttft": TailThreshold(primary_s=1.0, candidate_s=1.2)})
FAILURES = [outcome for outcome in Outcome if outcome.is_failure]


def compared(
    outcome: Outcome = Outcome.OK,
    similarity: float | None = 0.9,
    ttft_s: float | None = 0.5,
    primary_ttft_s: float | None = 0.5,
    **more: object,
) -> Comparison:
    return Comparison("arm", outcome, similarity, False, False, Timing(primary_ttft_s, None, 1.0), Timing(ttft_s, None, 1.0), **more)


def seen(
    primary: Outcome = Outcome.OK,
    candidate: Comparison | None = None,
    control: Comparison | None = None,
    has_control: bool = True,
    limits: Limits = LIMITS,
    preference: Preference | None = None,
) -> dict[str, str]:
    """Check → cell; what measures the instrument alone (``noise_floor``) is left out."""
    found = reduce(PairOutcome(primary, candidate or compared(), control, has_control, limits, 0.5, preference))
    assert all(has_cell(check, cell) for check, cell in found)
    assert len({check for check, _ in found}) == len(found)
    return {check: cell for check, cell in found if check != "noise_floor"}


def test_a_good_pair_adds_one_cell_to_each_check() -> None:
    assert seen(candidate=compared(similarity=0.85), control=compared(similarity=0.9)) == {
        "error": "both_ok",
        "aa_error": "both_ok",
        "ttft_tail": "both_ok",
        "aa_ttft_tail": "both_ok",
        "similarity": "+0.05",
    }


@pytest.mark.parametrize("outcome", FAILURES)
@pytest.mark.parametrize("similarity", [0.0, None])
def test_missing_answer_counts_as_failed_unlike_and_late(outcome: Outcome, similarity: float | None) -> None:
    """Intention to treat. An early first token does not save a stream that broke."""
    found = seen(candidate=compared(outcome, similarity, ttft_s=0.01), control=compared(similarity=0.9))
    assert found == {
        "error": "candidate_only",
        "aa_error": "both_ok",
        "ttft_tail": "candidate_only",
        "aa_ttft_tail": "both_ok",
        "similarity": "+0.90",
    }


def test_candidate_lost_on_our_side_adds_nothing_at_all() -> None:
    assert seen(candidate=compared(Outcome.DROPPED_LOCAL, None), control=compared()) == {}


def test_primary_lost_on_our_side_adds_nothing_at_all() -> None:
    assert seen(primary=Outcome.DROPPED_LOCAL, control=compared()) == {}


@pytest.mark.parametrize(("candidate", "cell"), [(Outcome.OK, "reference_only"), (Outcome.TIMEOUT, "both_bad")])
def test_failed_primary_leaves_only_the_error_checks(candidate: Outcome, cell: str) -> None:
    found = seen(primary=Outcome.HTTP_ERROR, candidate=compared(candidate, None), control=compared(Outcome.OK, None))
    assert found == {"error": cell, "aa_error": "reference_only"}


@pytest.mark.parametrize("control", [None, compared(Outcome.DROPPED_LOCAL, None)])
def test_lost_or_unasked_control_takes_part_in_nothing(control: Comparison | None) -> None:
    assert set(seen(control=control)) == {"error", "ttft_tail"}


@pytest.mark.parametrize("outcome", FAILURES)
def test_failed_control_is_an_error_of_the_instrument_and_no_gift_of_similarity(outcome: Outcome) -> None:
    """Scored as 0 it would read D = -0.9: the worse our control arm, the better the candidate."""
    found = seen(candidate=compared(similarity=0.9), control=compared(outcome, 0.0))
    assert found == {"error": "both_ok", "aa_error": "candidate_only", "ttft_tail": "both_ok", "aa_ttft_tail": "candidate_only"}


def test_slow_control_shows_that_our_own_clock_is_off() -> None:
    """Both copies late, the primary not: the copies are timed badly, or all share a pool that mirroring has filled."""
    found = seen(candidate=compared(ttft_s=9.0), control=compared(ttft_s=9.0))
    assert found["ttft_tail"] == found["aa_ttft_tail"] == "candidate_only"


@pytest.mark.parametrize("has_control", [True, False])
def test_answers_without_text_have_no_similarity(has_control: bool) -> None:
    found = seen(candidate=compared(similarity=None), control=compared(similarity=None), has_control=has_control)
    assert not {"similarity", "similarity_absolute"} & set(found)


def test_a_rollout_without_control_measures_the_distance_itself() -> None:
    found = seen(candidate=compared(similarity=0.75), has_control=False)
    assert found == {"error": "both_ok", "ttft_tail": "both_ok", "similarity_absolute": "+0.25"}
    assert seen(candidate=compared(Outcome.RESET, 0.0), has_control=False)["similarity_absolute"] == "+1.00"


def test_similarity_just_above_one_is_no_negative_distance() -> None:
    assert seen(candidate=compared(similarity=1.0000002), has_control=False)["similarity_absolute"] == "0.00"


@pytest.mark.parametrize(
    ("primary_s", "candidate_s", "cell"),
    [
        (0.5, 1.1, "both_ok"),  # slower than t*, but within ratio x t*
        (0.5, 1.2, "both_ok"),
        (0.5, 1.3, "candidate_only"),
        (1.1, 1.1, "reference_only"),
        (1.1, 1.3, "both_bad"),
        (0.5, None, "candidate_only"),  # it answered without saying anything
    ],
)
def test_ttft_compares_each_side_with_its_own_limit(primary_s: float, candidate_s: float | None, cell: str) -> None:
    assert seen(candidate=compared(ttft_s=candidate_s, primary_ttft_s=primary_s))["ttft_tail"] == cell


@pytest.mark.parametrize("ttft_s", [None, 0.5])
def test_nothing_can_be_later_than_an_answer_without_content(ttft_s: float | None) -> None:
    assert "ttft_tail" not in seen(candidate=compared(ttft_s=ttft_s, primary_ttft_s=None))


def test_no_ttft_cell_while_the_limit_is_being_measured() -> None:
    assert "ttft_tail" not in seen(limits=Limits())


def test_the_noise_floor_is_counted_by_itself() -> None:
    found = dict(reduce(PairOutcome(Outcome.OK, compared(), compared(similarity=0.95), True, Limits(), 0.5)))
    assert found["noise_floor"] == "+0.05"
    assert "noise_floor" not in dict(reduce(PairOutcome(Outcome.OK, compared(), None, True, Limits(), 0.5)))


# --- validity -------------------------------------------------------------------------------------------------------------

FAULTS = {"json_valid": ("is_json_valid", False), "tool_valid": ("is_tool_valid", False), "truncated": ("is_truncated", True)}


def sided(field: str, primary: bool | None, candidate: bool | None, outcome: Outcome = Outcome.OK) -> Comparison:
    return compared(outcome, primary_side=Side(**{field: primary}), side=Side(**{field: candidate}))


@pytest.mark.parametrize("check", FAULTS)
@pytest.mark.parametrize(
    ("is_primary_bad", "is_candidate_bad", "cell"),
    [
        (False, False, "both_ok"),
        (False, True, "candidate_only"),
        (True, False, "reference_only"),
        (True, True, "both_bad"),
        (None, True, "candidate_only"),
        (None, False, "both_ok"),
        (True, None, "reference_only"),
    ],
)
def test_a_fault_counts_where_the_question_arises_on_either_side(
    check: str, is_primary_bad: bool | None, is_candidate_bad: bool | None, cell: str
) -> None:
    field, bad = FAULTS[check]
    primary, candidate = (None if is_bad is None else is_bad is bad for is_bad in (is_primary_bad, is_candidate_bad))
    for has_control in (True, False):
        assert seen(candidate=sided(field, primary, candidate), has_control=has_control)[check] == cell


@pytest.mark.parametrize("check", FAULTS)
def test_a_question_that_arises_nowhere_is_not_counted(check: str) -> None:
    assert check not in seen()


@pytest.mark.parametrize("check", FAULTS)
@pytest.mark.parametrize("outcome", FAILURES)
def test_a_missing_answer_is_at_fault_where_the_primary_was_asked(check: str, outcome: Outcome) -> None:
    field, bad = FAULTS[check]
    assert seen(candidate=sided(field, not bad, None, outcome))[check] == "candidate_only"
    assert check not in seen(candidate=sided(field, None, None, outcome))


# --- mismatch -------------------------------------------------------------------------------------------------------------


def differing(family: str, severity: Severity | None, outcome: Outcome = Outcome.OK, **more: object) -> Comparison:
    """A comparison that has looked at ``family``; with a difference of this severity, or none."""
    found = () if severity is None else (Divergence(f"{family}.something", severity, "a", "b"),)
    return compared(outcome, divergences=found, scores={family: 0.0 if severity is None else 0.4}, **more)


FAMILIES = ["structure", "tools", "facts"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("severity", "differs"),
    [(None, False), (Severity.INFO, False), (Severity.MINOR, False), (Severity.MAJOR, True), (Severity.CRITICAL, True)],
)
def test_only_differences_of_weight_are_mismatches(family: str, severity: Severity | None, differs: bool) -> None:
    candidate = differing(family, severity)
    same = differing(family, None)
    assert seen(candidate=candidate, control=same)[family] == ("candidate_only" if differs else "both_ok")
    assert seen(candidate=candidate, has_control=False)[f"{family}_absolute"] == ("bad" if differs else "ok")


@pytest.mark.parametrize("family", FAMILIES)
def test_how_often_the_primary_is_unlike_itself_is_taken_off(family: str) -> None:
    noisy, same = differing(family, Severity.MAJOR), differing(family, None)
    assert seen(candidate=same, control=noisy)[family] == "reference_only"
    assert seen(candidate=noisy, control=noisy)[family] == "both_bad"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_side_with_nothing_to_compare_has_nothing_that_differs(family: str) -> None:
    """The primary called no tool: only the arm that calls one has anything to compare. Leaving such pairs out would hide new calls."""
    silent, calling = compared(), differing(family, Severity.MAJOR)
    assert seen(candidate=calling, control=silent)[family] == "candidate_only"
    assert seen(candidate=silent, control=calling)[family] == "reference_only"
    assert family not in seen(candidate=silent, control=silent)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_answer_differs_where_the_control_shows_that_there_was_something(family: str) -> None:
    missing = compared(Outcome.TIMEOUT)
    assert seen(candidate=missing, control=differing(family, None))[family] == "candidate_only"
    assert family not in seen(candidate=missing, control=compared())


def test_without_control_the_primary_alone_tells_whether_a_missing_answer_differs() -> None:
    asked = Side(is_json_valid=True, is_tool_valid=True, is_refusal=False)
    found = seen(candidate=compared(Outcome.TIMEOUT, primary_side=asked), has_control=False)
    assert {check: found[check] for check in ("structure_absolute", "tools_absolute", "refusal_absolute")} == dict.fromkeys(
        ("structure_absolute", "tools_absolute", "refusal_absolute"), "bad"
    )
    assert "facts_absolute" not in found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("control", [None, compared(Outcome.TIMEOUT), compared(Outcome.DROPPED_LOCAL)])
def test_without_the_control_s_answer_no_mismatch_is_counted(family: str, control: Comparison | None) -> None:
    assert family not in seen(candidate=differing(family, Severity.MAJOR), control=control)


def declining(primary: bool | None, other: bool | None, outcome: Outcome = Outcome.OK) -> Comparison:
    return compared(outcome, primary_side=Side(is_refusal=primary), side=Side(is_refusal=other))


@pytest.mark.parametrize(
    ("primary", "candidate", "differs"),
    [(False, True, True), (True, False, True), (True, True, False), (False, False, False), (None, True, True), (True, None, True)],
)
def test_refusing_otherwise_counts_in_both_directions(primary: bool | None, candidate: bool | None, differs: bool) -> None:
    found = seen(candidate=declining(primary, candidate), control=declining(primary, bool(primary)))
    assert found["refusal"] == ("candidate_only" if differs else "both_ok")
    assert seen(candidate=declining(primary, candidate), has_control=False)["refusal_absolute"] == ("bad" if differs else "ok")


def test_a_primary_that_sometimes_refuses_itself_is_the_noise_floor_of_refusals() -> None:
    assert seen(candidate=declining(True, True), control=declining(True, False))["refusal"] == "reference_only"


def test_a_missing_answer_is_no_refusal_and_not_the_primary_s_answer_either() -> None:
    missing = declining(False, None, Outcome.TIMEOUT)
    assert seen(candidate=missing, control=declining(False, False))["refusal"] == "candidate_only"


# --- latency, cost, tokens ------------------------------------------------------------------------------------------------


def timed(primary: Timing, own: Timing, outcome: Outcome = Outcome.OK) -> Comparison:
    return replace(compared(outcome), primary_timing=primary, timing=own)


def test_every_tail_has_its_limit_and_its_negative_control() -> None:
    limits = Limits(tails={name: TailThreshold(1.0, 1.2) for name in ("ttft", "itl", "duration")})
    fast, slow = Timing(0.5, 0.5, 0.5), Timing(2.0, 2.0, 2.0)
    found = seen(candidate=timed(fast, slow), control=timed(fast, fast), limits=limits)
    for tail in ("ttft", "itl", "duration"):
        assert (found[f"{tail}_tail"], found[f"aa_{tail}_tail"]) == ("candidate_only", "both_ok")


def test_an_answer_that_comes_at_once_has_no_gap_to_be_too_long() -> None:
    limits = Limits(tails={"itl": TailThreshold(0.05, 0.06)})
    assert seen(candidate=timed(Timing(0.5, 0.02, 1.0), Timing(0.5, None, 1.0)), limits=limits)["itl_tail"] == "both_ok"
    assert "itl_tail" not in seen(candidate=timed(Timing(0.5, None, 1.0), Timing(0.5, 0.02, 1.0)), limits=limits)


@pytest.mark.parametrize(("measure", "late"), [("ttft", (0.9, 0, 0)), ("itl", (0, 0.9, 0)), ("duration", (0, 0, 0.9))])
def test_a_time_that_may_be_ours_tells_nothing(measure: str, late: tuple[float, float, float]) -> None:
    limits = Limits(
        tails={name: TailThreshold(1.0, 1.2) for name in ("ttft", "itl", "duration")}, budgets=(Budget("b", measure, 1.5, 0.01),)
    )
    found = seen(candidate=timed(Timing(0.5, 0.5, 0.5), Timing(2.0, 2.0, 2.0, *late)), limits=limits)
    tails = {name: found[f"{name}_tail"] for name in ("ttft", "itl", "duration")}
    assert tails == {**dict.fromkeys(tails, "candidate_only"), measure: "unreported"}
    assert found["budget:b"] == "unreported"
    surely = seen(candidate=timed(Timing(0.5, 0.5, 0.5), Timing(2.2, 2.2, 2.2, *late)), limits=limits)
    assert surely[f"{measure}_tail"] == "candidate_only"
    never = seen(candidate=timed(Timing(0.5, 0.5, 0.5), Timing(1.1, 1.1, 1.1, *late)), limits=limits)
    assert never[f"{measure}_tail"] == "both_ok"


RATIOS = Limits(ratios={"cost": Ratio(1.0, 2.0), "tokens": Ratio(1.05, 1000.0)})


def priced(primary: tuple[int, float] | None, candidate: tuple[int, float] | None, outcome: Outcome = Outcome.OK) -> Comparison:
    sides = (Side() if given is None else Side(completion_tokens=given[0], cost=given[1]) for given in (primary, candidate))
    primary_side, side = sides
    return compared(outcome, primary_side=primary_side, side=side)


def test_amounts_are_compared_by_their_ratio_on_the_grid() -> None:
    found = seen(candidate=priced((100, 0.5), (1000, 0.5)), limits=RATIOS)
    assert found["cost"] == "0.00"
    assert value_of("tokens", found["tokens"]) == pytest.approx((1000 - 105) / 1050, abs=0.05)


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_missing_answer_is_as_dear_as_can_be(outcome: Outcome) -> None:
    found = seen(candidate=priced((100, 0.5), None, outcome), limits=RATIOS)
    assert (found["cost"], found["tokens"]) == ("+1.00", "+1.00")


def test_an_answer_without_usage_is_neither_cheap_nor_dear() -> None:
    found = seen(candidate=priced((100, 0.5), None), limits=RATIOS)
    assert (found["cost"], found["tokens"]) == ("unreported", "unreported")


@pytest.mark.parametrize(("tokens", "cost"), [(10**400, float("inf")), (-(10**400), float("nan"))])
def test_what_an_arm_reports_of_itself_may_be_anything(tokens: int, cost: float) -> None:
    found = seen(candidate=priced((100, 0.5), (tokens, cost)), limits=replace(RATIOS, budgets=(Budget("mine", "tokens", 0.8, 0.01),)))
    assert found["cost"] == "unreported"
    assert value_of("tokens", found["tokens"]) == pytest.approx(0.85 if tokens > 0 else -0.1, abs=0.051)
    assert found["budget:mine"] == ("bad" if tokens > 0 else "ok")


def test_nothing_is_dearer_than_an_unknown_amount() -> None:
    found = seen(candidate=priced(None, (100, 0.5)), limits=RATIOS)
    assert not {"cost", "tokens"} & set(found)


def budget(measure: str, limit: float = 0.8) -> Limits:
    return Limits(budgets=(Budget("mine", measure, limit, 0.01),))


@pytest.mark.parametrize(
    ("measure", "candidate", "cell"),
    [
        ("ttft", compared(ttft_s=0.8), "ok"),
        ("ttft", compared(ttft_s=0.9), "bad"),
        ("ttft", compared(ttft_s=None), "bad"),
        ("duration", timed(Timing(0.5, None, 9.0), Timing(0.5, None, 0.7)), "ok"),
        ("itl", timed(Timing(0.5, 0.1, 9.0), Timing(0.5, 0.9, 9.0)), "bad"),
        ("itl", timed(Timing(0.5, 0.1, 9.0), Timing(0.5, None, 9.0)), "ok"),
        ("tokens", priced((1, 0.1), (2, 0.1)), "bad"),
        ("cost", priced((1, 0.9), (2, 0.1)), "ok"),
        ("cost", priced((1, 0.9), None), "unreported"),
        ("error", compared(), "ok"),
    ],
)
def test_a_budget_looks_at_the_candidate_alone(measure: str, candidate: Comparison, cell: str) -> None:
    assert seen(candidate=candidate, limits=budget(measure))["budget:mine"] == cell


@pytest.mark.parametrize("measure", BUDGET_MEASURES)
@pytest.mark.parametrize("outcome", FAILURES)
def test_a_missing_answer_breaks_every_budget(measure: str, outcome: Outcome) -> None:
    failed = replace(priced((1, 0.1), None, outcome), primary_timing=Timing(0.5, 0.1, 1.0))
    assert seen(candidate=failed, limits=budget(measure))["budget:mine"] == "bad"


def test_budgets_are_for_requests_that_the_primary_could_answer() -> None:
    assert "budget:mine" not in seen(Outcome.HTTP_ERROR, compared(Outcome.HTTP_ERROR), limits=budget("error"))
    assert "budget:mine" not in seen(candidate=priced(None, (2, 0.1)), limits=budget("cost"))


def test_there_can_be_any_number_of_budgets() -> None:
    limits = Limits(budgets=tuple(Budget(f"b{i}", "ttft", i / 10, 0.01) for i in range(10)))
    found = seen(candidate=compared(ttft_s=0.45), limits=limits)
    assert [found[f"budget:b{i}"] for i in range(10)] == ["bad"] * 5 + ["ok"] * 5


# --- judge ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preference", "cell"),
    [(Preference.PRIMARY, "candidate_only"), (Preference.CANDIDATE, "reference_only"), (Preference.TIE, "both_ok")],
)
def test_the_judge_counts_who_lost(preference: Preference, cell: str) -> None:
    assert seen(preference=preference)["judge"] == cell
    assert seen(candidate=compared(Outcome.TIMEOUT), preference=preference)["judge"] == "candidate_only"


def test_pairs_that_were_not_chosen_for_the_judge_say_nothing() -> None:
    assert "judge" not in seen()
    assert "judge" not in seen(Outcome.HTTP_ERROR, preference=Preference.TIE)


# --- any pair -------------------------------------------------------------------------------------------------------------

EVERYTHING = Limits(
    tails={name: TailThreshold(1.0, 1.2) for name in ("ttft", "itl", "duration")},
    ratios={"cost": Ratio(1.05, 2.0), "tokens": Ratio(1.05, 1000.0)},
    budgets=tuple(Budget(measure, measure, 0.8, 0.01) for measure in BUDGET_MEASURES),
)
maybe = st.one_of(st.none(), st.booleans())
amounts = st.one_of(st.none(), st.floats(0, 1e6))
sides = st.builds(
    Side,
    is_refusal=maybe,
    is_json_valid=maybe,
    is_tool_valid=maybe,
    is_truncated=maybe,
    completion_tokens=st.one_of(st.none(), st.integers(0, 10**6)),
    cost=amounts,
)
timings = st.builds(Timing, amounts, amounts, st.floats(0, 1e6))
divergences = st.builds(
    Divergence,
    st.sampled_from(["tools.name", "facts.number", "structure.missing", "text.empty"]),
    st.sampled_from(Severity),
    st.just(""),
    st.just(""),
)
comparisons = st.builds(
    Comparison,
    st.just("arm"),
    st.sampled_from(Outcome),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
    st.booleans(),
    timings,
    timings,
    st.lists(divergences, max_size=4).map(tuple),
    st.dictionaries(st.sampled_from(FAMILIES), st.floats(0, 1)),
    primary_side=sides,
    side=sides,
)


@given(
    st.sampled_from(Outcome),
    comparisons,
    st.one_of(st.none(), comparisons),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.none(), st.sampled_from(Preference)),
)
def test_any_pair_adds_at_most_one_known_cell_to_each_check(
    primary: Outcome,
    candidate: Comparison,
    control: Comparison | None,
    has_control: bool,
    u: float,
    preference: Preference | None,
) -> None:
    found = reduce(PairOutcome(primary, candidate, control, has_control, EVERYTHING, u, preference))
    assert all(has_cell(check, cell) for check, cell in found)
    assert len({check for check, _ in found}) == len(found)
    is_lost = Outcome.DROPPED_LOCAL in (primary, candidate.outcome)
    assert ("error" in dict(found)) is not is_lost


@given(
    comparisons.filter(lambda c: not c.outcome.is_failure and c.outcome is Outcome.OK),
    comparisons,
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
)
def test_an_answer_that_goes_missing_never_looks_better(answered: Comparison, control: Comparison, has_control: bool, u: float) -> None:
    """Intention to treat, for every check at once: where both are counted, no answer is at least as bad as any answer."""
    before, after = (
        dict(reduce(PairOutcome(Outcome.OK, each, control, has_control, EVERYTHING, u)))
        for each in (answered, replace(answered, outcome=Outcome.TIMEOUT, similarity=0.0, side=Side()))
    )
    for check in set(before) & set(after):
        if before[check] != "unreported":
            assert value_of(check, after[check]) >= value_of(check, before[check]), check
