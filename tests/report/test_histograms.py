"""Counts by bin, and quantiles of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.report.histograms import Histogram, Scale


def filled(scale: Scale, values: list[float]) -> Histogram:
    histogram = Histogram.empty(scale)
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), st.floats(0, 1))
def test_quantile_of_seconds_is_within_a_bin_of_a_value_on_either_side(values: list[float], level: float) -> None:
    found = filled(Scale.SECONDS, values).quantile(level)
    assert found is not None
    ordered = sorted(values)
    rank = min(max(math.ceil(level * len(values)), 1), len(values)) - 1
    assert ordered[max(rank - 1, 0)] / 1.08 <= found <= ordered[min(rank + 1, len(values) - 1)] * 1.08


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_quantiles_of_shares_rise_and_stay_in_range(values: list[float]) -> None:
    histogram = filled(Scale.SHARE, values)
    found = [histogram.quantile(level) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == sorted(found, key=lambda value: value or 0.0)
    assert all(value is not None and 0 <= value <= 1 for value in found)


def test_median_is_exact_to_a_bin() -> None:
    assert filled(Scale.SHARE, [0.2] * 50 + [0.9] * 51).quantile(0.5) == pytest.approx(0.9, abs=0.01)
    assert filled(Scale.SECONDS, [0.3] * 100).quantile(0.99) == pytest.approx(0.3, rel=0.08)


def test_nothing_has_no_quantile_and_not_a_number_is_not_counted() -> None:
    assert Histogram.empty(Scale.SHARE).quantile(0.5) is None
    assert filled(Scale.SECONDS, [math.nan]).n == 0


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-9, 1e12, math.inf])
def test_what_is_off_the_scale_is_at_its_end(value: float) -> None:
    assert filled(Scale.SECONDS, [value]).n == 1
