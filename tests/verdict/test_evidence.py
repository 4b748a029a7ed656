"""The e-values: exact where they can be enumerated, and the same however the counts were collected."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.verdict.evidence import (
    FRACTIONS,
    RESOLUTION,
    bounds,
    log_e_promote,
    log_e_rollback,
    mean_and_variance,
    pairs_to_promote,
)

TRINOMIAL = (-1.0, 0.0, 1.0)
SIGNED = (-1.0, 1.0)
GRID = tuple(step / 20 for step in range(-20, 21))
ALPHA = 0.05
THRESHOLD = math.log(1 / ALPHA)

trinomial_counts = st.tuples(*(st.integers(0, 3000),) * 3)
grid_counts = st.lists(st.integers(0, 200), min_size=41, max_size=41)


def expected_e(log_e, law: tuple[float, float, float], margin: float, n: int) -> float:
    """E[e] over every count vector of n independent pairs."""
    total = 0.0
    for worse, better in itertools.product(range(n + 1), repeat=2):
        same = n - worse - better
        if same >= 0:
            ways = math.factorial(n) / (math.factorial(worse) * math.factorial(better) * math.factorial(same))
            chance = ways * law[0] ** better * law[1] ** same * law[2] ** worse
            total += chance * math.exp(float(log_e(TRINOMIAL, (better, same, worse), margin, SIGNED)))
    return total


@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("law", [(0.005, 0.985, 0.01), (0.3, 0.38, 0.32), (0.0, 0.9, 0.1), (0.6, 0.4, 0.0)])
@pytest.mark.parametrize("log_e", [log_e_promote, log_e_rollback])
def test_expected_e_value_is_one_exactly_on_the_margin(log_e, law: tuple[float, float, float], n: int) -> None:
    assert expected_e(log_e, law, law[2] - law[0], n) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("gap", [0.001, 0.05, 0.3])
def test_expected_e_value_stays_below_one_inside_the_null(n: int, gap: float) -> None:
    law = (0.2, 0.5, 0.3)
    assert expected_e(log_e_promote, law, law[2] - law[0] - gap, n) < 1
    assert expected_e(log_e_rollback, law, law[2] - law[0] + gap, n) < 1


def test_wealth_of_a_path_is_a_product_pair_by_pair() -> None:
    """The formula once more, in plain Python, one pair after the other."""
    path = np.random.default_rng(3).choice(GRID, size=300)
    wealth = [1.0] * len(FRACTIONS)
    for value in path:
        for k, fraction in enumerate(FRACTIONS):
            wealth[k] *= 1 + fraction / (1 - 0.02) * (0.02 - value)
    counts = [int(np.sum(path == value)) for value in GRID]
    assert float(log_e_promote(GRID, counts, 0.02, SIGNED)) == pytest.approx(math.log(sum(wealth) / len(wealth)), abs=1e-9)


def test_rollback_wealth_of_a_path_is_a_product_pair_by_pair() -> None:
    path = np.random.default_rng(4).choice((0.0, 1.0), size=200)
    wealth = [math.prod(1 + fraction / 0.2 * (value - 0.2) for value in path) for fraction in FRACTIONS]
    counts = [int(np.sum(path == value)) for value in (0.0, 1.0)]
    assert float(log_e_rollback((0.0, 1.0), counts, 0.2, (0.0, 1.0))) == pytest.approx(math.log(sum(wealth) / len(wealth)), abs=1e-9)


@given(st.lists(grid_counts, min_size=7, max_size=7))
@settings(max_examples=25)
def test_seven_shards_merge_to_what_one_process_would_have_had(shards: list[list[int]]) -> None:
    merged = np.sum(shards, axis=0)
    path = np.repeat(GRID, merged)
    for log_e in (log_e_promote, log_e_rollback):
        whole = float(log_e(path, np.ones(len(path)), 0.02, SIGNED)) if len(path) else 0.0
        assert float(log_e(GRID, merged, 0.02, SIGNED)) == pytest.approx(whole, abs=1e-9, rel=1e-9)


@given(grid_counts, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_order_of_the_values_does_not_matter(counts: list[int], chance) -> None:
    shuffled = list(zip(GRID, counts, strict=True))
    chance.shuffle(shuffled)
    values, moved = zip(*shuffled, strict=True)
    for log_e in (log_e_promote, log_e_rollback):
        assert float(log_e(values, moved, 0.02, SIGNED)) == pytest.approx(float(log_e(GRID, counts, 0.02, SIGNED)), abs=1e-9, rel=1e-12)


def test_a_whole_history_is_scored_in_one_call() -> None:
    history = np.array([[0, 10, 0], [1, 20, 0], [1, 30, 2]])
    scored = log_e_promote(TRINOMIAL, history, 0.01, SIGNED)
    assert scored.shape == (3,)
    assert scored.tolist() == [pytest.approx(float(log_e_promote(TRINOMIAL, row, 0.01, SIGNED))) for row in history]


@given(trinomial_counts, st.floats(-0.9, 0.9), st.floats(0.001, 0.09))
def test_a_wider_margin_is_never_harder_to_promote_nor_easier_to_roll_back(
    counts: tuple[int, int, int], margin: float, step: float
) -> None:
    assert float(log_e_promote(TRINOMIAL, counts, margin + step, SIGNED)) >= float(log_e_promote(TRINOMIAL, counts, margin, SIGNED)) - 1e-9
    assert (
        float(log_e_rollback(TRINOMIAL, counts, margin + step, SIGNED)) <= float(log_e_rollback(TRINOMIAL, counts, margin, SIGNED)) + 1e-9
    )


@given(trinomial_counts, st.floats(-0.9, 0.9))
def test_the_worst_pair_never_helps_and_the_best_never_hurts(counts: tuple[int, int, int], margin: float) -> None:
    better, same, worse = counts
    one_worse, one_better = (better, same, worse + 1), (better + 1, same, worse)
    for more, less in ((one_better, counts), (counts, one_worse)):
        assert float(log_e_promote(TRINOMIAL, more, margin, SIGNED)) > float(log_e_promote(TRINOMIAL, less, margin, SIGNED))
        assert float(log_e_rollback(TRINOMIAL, more, margin, SIGNED)) < float(log_e_rollback(TRINOMIAL, less, margin, SIGNED))


@given(trinomial_counts, st.integers(0, 1), st.floats(-0.9, 0.9))
def test_a_pair_that_turns_worse_never_helps(counts: tuple[int, int, int], at: int, margin: float) -> None:
    before = list(counts)
    before[at] += 1
    after = list(counts)
    after[at + 1] += 1
    assert float(log_e_promote(TRINOMIAL, after, margin, SIGNED)) < float(log_e_promote(TRINOMIAL, before, margin, SIGNED))
    assert float(log_e_rollback(TRINOMIAL, after, margin, SIGNED)) > float(log_e_rollback(TRINOMIAL, before, margin, SIGNED))


@given(grid_counts.filter(any))
@settings(max_examples=50)
def test_bounds_lie_on_both_sides_of_the_mean(counts: list[int]) -> None:
    lower, upper = bounds(GRID, counts, SIGNED, ALPHA, ALPHA)
    mean, _ = mean_and_variance(GRID, counts)
    assert -1 - 1e-12 <= lower <= mean + 1e-12
    assert mean - 1e-12 <= upper <= 1 + 1e-12


@given(trinomial_counts, st.floats(-0.99, 0.99))
def test_promotion_and_the_upper_bound_are_one_statement(counts: tuple[int, int, int], margin: float) -> None:
    lower, upper = bounds(TRINOMIAL, counts, SIGNED, ALPHA, ALPHA)
    if abs(upper - margin) > RESOLUTION:
        assert (upper < margin) == (float(log_e_promote(TRINOMIAL, counts, margin, SIGNED)) >= THRESHOLD)
    if abs(lower - margin) > RESOLUTION:
        assert (lower > margin) == (float(log_e_rollback(TRINOMIAL, counts, margin, SIGNED)) >= THRESHOLD)


def test_bounds_are_surer_at_a_smaller_alpha() -> None:
    wide = bounds(TRINOMIAL, (10, 900, 20), SIGNED, 0.01, 0.01)
    narrow = bounds(TRINOMIAL, (10, 900, 20), SIGNED, 0.2, 0.2)
    assert wide[0] < narrow[0] < 0.0107 < narrow[1] < wide[1]


def test_each_bound_has_its_own_alpha() -> None:
    counts = (10, 900, 20)
    lower, upper = bounds(TRINOMIAL, counts, SIGNED, 0.01, 0.2)
    assert lower == bounds(TRINOMIAL, counts, SIGNED, 0.01, 0.5)[0]
    assert upper == bounds(TRINOMIAL, counts, SIGNED, 0.5, 0.2)[1]


# --- edges ----------------------------------------------------------------------------------------------------------------


def test_without_data_there_is_no_evidence_and_no_bound() -> None:
    for counts in ((0, 0, 0),):
        assert float(log_e_promote(TRINOMIAL, counts, 0.005, SIGNED)) == pytest.approx(0, abs=1e-12)
        assert float(log_e_rollback(TRINOMIAL, counts, 0.005, SIGNED)) == pytest.approx(0, abs=1e-12)
        assert bounds(TRINOMIAL, counts, SIGNED, ALPHA, ALPHA) == SIGNED
    with pytest.raises(ValueError):
        mean_and_variance(TRINOMIAL, (0, 0, 0))


@pytest.mark.parametrize("counts", [(10**9, 0, 0), (0, 10**9, 0), (0, 0, 10**9), (10**9, 10**9, 10**9), (1, 10**9, 2)])
@pytest.mark.parametrize("margin", [0.0, 0.005, -0.3, 0.99])
def test_a_thousand_million_pairs_do_not_overflow(counts: tuple[int, int, int], margin: float) -> None:
    assert math.isfinite(float(log_e_promote(TRINOMIAL, counts, margin, SIGNED)))
    assert math.isfinite(float(log_e_rollback(TRINOMIAL, counts, margin, SIGNED)))
    lower, upper = bounds(TRINOMIAL, counts, SIGNED, ALPHA, ALPHA)
    mean, _ = mean_and_variance(TRINOMIAL, counts)
    assert mean - 0.002 < lower <= mean <= upper < mean + 0.002  # the smallest bet sets how close they come


def test_all_pairs_at_the_worst_value_leave_no_upper_bound() -> None:
    assert bounds(TRINOMIAL, (0, 0, 50), SIGNED, ALPHA, ALPHA)[1] == 1.0
    assert bounds(TRINOMIAL, (50, 0, 0), SIGNED, ALPHA, ALPHA)[0] == -1.0


@pytest.mark.parametrize("margin", [-1.0, 1.0, 1.5, float("nan")])
def test_a_margin_at_the_end_of_the_range_is_refused(margin: float) -> None:
    for log_e in (log_e_promote, log_e_rollback):
        with pytest.raises(ValueError):
            log_e(TRINOMIAL, (1, 1, 1), margin, SIGNED)


def test_values_outside_the_range_and_negative_counts_are_refused() -> None:
    """A value past the range could ruin a gambler, and then the evidence would not be an e-value."""
    with pytest.raises(ValueError):
        log_e_promote((0.0, 2.0), (1, 1), 0.1, SIGNED)
    with pytest.raises(ValueError):
        log_e_promote(TRINOMIAL, (-1, 1, 1), 0.1, SIGNED)


def test_mean_and_variance() -> None:
    assert mean_and_variance(TRINOMIAL, (1, 2, 3)) == (pytest.approx(1 / 3), pytest.approx(4 / 6 - 1 / 9))


# --- planning -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "floor"), [(0.005, 1144), (0.01, 571)])
def test_pairs_without_any_difference_need_a_known_number(margin: float, floor: int) -> None:
    """The least that can ever be needed, since no data are more convincing than none that differ."""
    assert float(log_e_promote(TRINOMIAL, (0, floor, 0), margin, SIGNED)) >= THRESHOLD
    assert float(log_e_promote(TRINOMIAL, (0, floor - 1, 0), margin, SIGNED)) < THRESHOLD
    assert pairs_to_promote(TRINOMIAL, (0, 100, 0), margin, SIGNED, ALPHA, prior=0) == floor - 100


@given(st.tuples(st.integers(0, 20), st.integers(100, 3000), st.integers(0, 20)), st.sampled_from([0.005, 0.02, 0.1]))
def test_projection_is_the_first_step_that_reaches_the_target(counts: tuple[int, int, int], margin: float) -> None:
    needed = float(pairs_to_promote(TRINOMIAL, counts, margin, SIGNED, ALPHA, prior=0))
    mean, _ = mean_and_variance(TRINOMIAL, counts)
    if mean >= margin:
        assert math.isinf(needed)
    elif math.isfinite(needed):
        total = sum(counts)
        later = np.array(counts) * (1 + needed / total)
        assert float(log_e_promote(TRINOMIAL, later, margin, SIGNED)) >= THRESHOLD - 1e-9
        if needed > 0:
            earlier = np.array(counts) * (1 + (needed - 1) / total)
            assert float(log_e_promote(TRINOMIAL, earlier, margin, SIGNED)) < THRESHOLD


def test_a_few_equal_pairs_do_not_promise_a_quick_decision() -> None:
    """Errors of 0.5 % on both sides take about 3600 pairs; 50 pairs without one have not ruled that out."""
    assert 3000 < (pairs_to_promote(TRINOMIAL, (0, 50, 0), 0.005, SIGNED, ALPHA)) < 6000


def test_nothing_is_promised_at_or_beyond_the_margin_nor_without_data() -> None:
    assert math.isinf(pairs_to_promote(TRINOMIAL, (0, 95, 5), 0.05, SIGNED, ALPHA))
    assert math.isinf(pairs_to_promote(TRINOMIAL, (0, 90, 10), 0.05, SIGNED, ALPHA))
    assert math.isinf(pairs_to_promote(TRINOMIAL, (0, 0, 0), 0.05, SIGNED, ALPHA))
    assert pairs_to_promote(TRINOMIAL, (0, 10**6, 0), 0.05, SIGNED, ALPHA) == 0


def test_projection_is_close_to_planning_for_typical_errors() -> None:
    """0.5 % errors on both sides, margin 0.5 points: the median of simulated decisions is 3638 pairs."""
    needed = pairs_to_promote(TRINOMIAL, (1, 198, 1), 0.005, SIGNED, ALPHA)
    assert 0.7 * 3638 < 200 + needed < 1.5 * 3638
