"""The alphabet of evidence: checks, cells, and what D each cell stands for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.checks import CHECKS, GRID, UNREPORTED, grid_cell, has_cell, trinomial_cell, value_of


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
    assert not has_cell("similarity_absolute", "-0.05")


@pytest.mark.parametrize(("check", "cell"), [("error", "perhaps"), ("colour", "both_ok"), ("similarity", "+0.07")])
def test_unknown_cells_are_told_apart_and_have_no_value(check: str, cell: str) -> None:
    assert not has_cell(check, cell)
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


def test_a_budget_has_two_cells_whatever_its_name() -> None:
    assert {cell: value_of("budget:slow", cell) for cell in ("ok", "bad")} == {"ok": 0.0, "bad": 1.0}
    assert not has_cell("budget:slow", "both_ok")


@pytest.mark.parametrize("check", ["cost", "tokens", "budget:dear", "ttft_tail", "aa_itl_tail"])
def test_what_was_not_reported_is_counted_and_has_no_difference(check: str) -> None:
    assert has_cell(check, UNREPORTED)
    with pytest.raises(KeyError):
        value_of(check, UNREPORTED)


@pytest.mark.parametrize("check", ["error", "similarity", "noise_floor"])
def test_only_amounts_can_be_unreported(check: str) -> None:
    assert not has_cell(check, UNREPORTED)


def test_every_check_is_within_one_unit_of_zero() -> None:
    assert all(-1 <= value <= 1 for values in CHECKS.values() for value in values.values())
