"""What pairs are measured against."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.limits import Budget, Limits, Ratio, TailThreshold


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.0, 0.0), (1.0, float("inf")), (float("nan"), 1.0)])
def test_thresholds_must_be_times(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        TailThreshold(*limits)


@pytest.mark.parametrize("given_ratio", [(0.0, 1.0), (1.05, 0.0), (1.05, float("inf")), (float("nan"), 1.0)])
def test_ratio_and_cap_must_be_amounts(given_ratio: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Ratio(*given_ratio)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 10), st.floats(0.01, 1e6))
def test_a_ratio_gives_a_difference_within_one_unit(candidate: float, primary: float, ratio: float, cap: float) -> None:
    assert -1 - 1e-12 <= Ratio(ratio, cap).difference(candidate, primary) <= 1 + 1e-12


def test_a_ratio_is_zero_exactly_at_the_ratio() -> None:
    assert Ratio(1.05, 1000).difference(105, 100) == pytest.approx(0)
    assert Ratio(1.05, 1000).difference(106, 100) > 0 > Ratio(1.05, 1000).difference(104, 100)
    assert Ratio(1.05, 1000).difference(5000, 1000) == Ratio(1.05, 1000).difference(1000, 1000), "over the cap is the cap"


@pytest.mark.parametrize(
    ("name", "measure", "limit", "share", "says"),
    [
        ("", "ttft", 0.8, 0.01, "needs a name"),
        ("zeit\n", "ttft", 0.8, 0.01, "needs a name"),
        ("slow", "speed", 0.8, 0.01, "measure 'speed' is not one of ttft"),
        ("slow", "ttft", -1.0, 0.01, "limit -1.0"),
        ("slow", "ttft", float("nan"), 0.01, "limit nan"),
        ("slow", "ttft", 0.8, 1.0, "share 1.0 is not inside"),
    ],
)
def test_a_budget_that_cannot_be_tested_is_refused(name: str, measure: str, limit: float, share: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Budget(name, measure, limit, share)


def test_limits_are_about_known_measures() -> None:
    with pytest.raises(ValueError, match="limit for 'cost': not one of ttft, itl, duration"):
        Limits(tails={"cost": TailThreshold(1.0, 1.0)})
    with pytest.raises(ValueError, match="limit for 'ttft': not one of cost, tokens"):
        Limits(ratios={"ttft": Ratio(1.0, 1.0)})
