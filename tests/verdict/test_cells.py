"""What one pair adds to the evidence, and that counts merge."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Comparison, Outcome, Timing
from shadowproxy.verdict.cells import CHECKS, GRID, CellKey, TtftThreshold, grid_cell, merge, observe, trinomial_cell, value_of

LIMIT = TtftThreshold(primary_s=1.0, candidate_s=1.2)
FAILURES = [outcome for outcome in Outcome if outcome.is_failure]


def compared(
    outcome: Outcome = Outcome.OK, similarity: float | None = 0.9, ttft_s: float | None = 0.5, primary_ttft_s: float | None = 0.5
) -> Comparison:
    return Comparison("candidate", outcome, similarity, False, False, Timing(primary_ttft_s, None, 1.0), Timing(ttft_s, None, 1.0))


def seen(
    primary: Outcome = Outcome.OK,
    candidate: Comparison | None = None,
    control: Comparison | None = None,
    has_control: bool = True,
    limit: TtftThreshold | None = LIMIT,
) -> dict[str, str]:
    keys = observe("chat", primary, candidate or compared(), control, has_control, limit, (0.5,))
    assert {key.route for key in keys} <= {"chat"}
    assert all(key.is_known for key in keys)
    return {key.check: key.cell for key in keys}


# --- values ---------------------------------------------------------------------------------------------------------------


def test_yes_no_checks_count_only_the_difference_of_the_two_sides() -> None:
    values = {(bad, reference): value_of("error", trinomial_cell(bad, reference)) for bad in (False, True) for reference in (False, True)}
    assert values == {(False, False): 0, (True, False): 1, (False, True): -1, (True, True): 0}


def test_grid_has_41_values_written_with_sign_and_two_decimals() -> None:
    assert len(GRID) == 41
    labels = list(GRID)
    assert (labels[0], labels[20], labels[21], labels[40]) == ("-1.00", "0.00", "+0.05", "+1.00")
    assert all(float(label) == value for label, value in GRID.items())


def test_a_distance_is_never_negative() -> None:
    assert len(CHECKS["similarity_absolute"]) == 21
    assert not CellKey("chat", "similarity_absolute", "-0.05").is_known


@pytest.mark.parametrize(("check", "cell"), [("error", "perhaps"), ("colour", "both_ok"), ("similarity", "+0.07")])
def test_unknown_cells_are_told_apart_and_have_no_value(check: str, cell: str) -> None:
    assert not CellKey("chat", check, cell).is_known
    with pytest.raises(KeyError):
        value_of(check, cell)


@given(st.floats(-1, 1), st.floats(0, 1, exclude_max=True))
def test_grid_cell_is_one_of_the_two_neighbours(value: float, u: float) -> None:
    assert abs(GRID[grid_cell(value, u)] - value) < 0.05 + 1e-9


@given(st.floats(-1, 1))
def test_rounding_goes_up_with_a_chance_equal_to_the_distance_from_the_lower_neighbour(value: float) -> None:
    """That chance is what makes the expected rounded value the value itself."""
    low = GRID[grid_cell(value, 1 - 1e-12)]
    chance_up = (value - low) / 0.05
    for u in (chance_up - 1e-9, chance_up + 1e-9):
        if 0 <= u < 1:
            assert GRID[grid_cell(value, u)] == pytest.approx(low + 0.05 * (u < chance_up), abs=1e-9)


def test_dither_is_unbiased_over_many_draws() -> None:
    chance = random.Random(7)
    values = [chance.gauss(0.013, 0.107) for _ in range(20_000)]
    rounded = [GRID[grid_cell(value, chance.random())] for value in values]
    error = sum(rounded) / len(rounded) - sum(values) / len(values)
    assert abs(error) < 4 * 0.025 / len(values) ** 0.5  # a rounding error has a standard deviation of at most half a step


def test_grid_cell_takes_rounding_errors_of_cosine_as_the_end() -> None:
    assert grid_cell(1.0000001, 0.0) == "+1.00"
    assert grid_cell(-1.0000001, 0.999) == "-1.00"


@pytest.mark.parametrize(("value", "u"), [(float("nan"), 0.5), (0.1, 1.0), (0.1, -0.1)])
def test_grid_cell_refuses_what_would_bias_the_mean(value: float, u: float) -> None:
    with pytest.raises(ValueError):
        grid_cell(value, u)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.0, 0.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_ttft_thresholds_must_be_times(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError):
        TtftThreshold(*limits)


# --- merging --------------------------------------------------------------------------------------------------------------

keys = st.builds(CellKey, st.sampled_from(["a", "b"]), st.just("error"), st.sampled_from(list(CHECKS["error"])))
counts = st.dictionaries(keys, st.integers(0, 10**9))


@given(counts, counts, counts)
def test_merging_is_order_free(one: dict[CellKey, int], two: dict[CellKey, int], three: dict[CellKey, int]) -> None:
    merged = merge(one, two, three)
    assert merged == merge(three, merge(two, one)) == merge(merge(one, three), two)
    assert sum(merged.values()) == sum(sum(each.values()) for each in (one, two, three))


def test_merging_nothing_is_nothing() -> None:
    assert merge() == {}


def test_keys_are_sorted_by_route_then_check_then_cell() -> None:
    in_order = [
        CellKey("a", "error", "both_bad"),
        CellKey("a", "error", "both_ok"),
        CellKey("a", "ttft_tail", "both_ok"),
        CellKey("b", "error", "both_ok"),
    ]
    assert sorted([in_order[2], in_order[0], in_order[3], in_order[1]]) == in_order


# --- what a pair adds -----------------------------------------------------------------------------------------------------


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
    assert "ttft_tail" not in seen(limit=None)


@given(
    st.sampled_from(Outcome),
    st.sampled_from(Outcome),
    st.one_of(st.none(), st.sampled_from(Outcome)),
    st.booleans(),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 100)),
    st.floats(0, 1, exclude_max=True),
)
def test_any_pair_adds_at_most_one_known_cell_to_each_check(
    primary: Outcome, outcome: Outcome, control: Outcome | None, has_control: bool, similarity: float, ttft_s: float | None, u: float
) -> None:
    candidate = compared(outcome, similarity, ttft_s)
    other = None if control is None else replace(candidate, arm="control", outcome=control)
    found = observe("chat", primary, candidate, other, has_control, LIMIT, (u,))
    assert all(key.is_known for key in found)
    assert len({key.check for key in found}) == len(found)
