"""Shares that must come out as configured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.splits import ALARM, Split, log_e


@pytest.mark.parametrize(("seen", "e"), [(4800, 274), (4700, 5.5e6)])
def test_e_values_are_those_of_the_published_formula(seen: int, e: float) -> None:
    assert math.exp(log_e(Split("control", seen, 10_000, 0.5))) == pytest.approx(e, rel=0.02)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", range(8))
def test_expected_e_value_is_one_where_the_share_is_as_configured(share: float, n: int) -> None:
    chances = [math.comb(n, seen) * share**seen * (1 - share) ** (n - seen) for seen in range(n + 1)]
    e_values = [math.exp(log_e(Split("mirrored", seen, n, share))) for seen in range(n + 1)]
    assert sum(chance * e for chance, e in zip(chances, e_values, strict=True)) == pytest.approx(1, abs=1e-9)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.001, 0.999))
def test_any_counts_give_a_finite_number(one: int, other: int, share: float) -> None:
    assert math.isfinite(log_e(Split("mirrored", one, one + other, share)))


def test_a_fair_split_seldom_alarms_with_a_look_after_every_request() -> None:
    chance = np.random.default_rng(3)
    seen = (chance.random((300, 600)) < 0.1).cumsum(axis=1)
    alarms = [any(log_e(Split("m", int(n), at + 1, 0.1)) >= math.log(20) for at, n in enumerate(run)) for run in seen]
    assert sum(alarms) <= 300 * 0.05
    assert ALARM > 20


@pytest.mark.parametrize(("seen", "total", "share"), [(5, 10, 0.0), (5, 10, 1.0), (11, 10, 0.5), (-1, 10, 0.5)])
def test_what_is_no_share_is_refused(seen: int, total: int, share: float) -> None:
    with pytest.raises(ValueError, match="split control"):
        Split("control", seen, total, share)


def test_sessions_that_are_in_or_out_as_wholes_are_not_for_this_test() -> None:
    """Why a share is only checked where requests are chosen one by one."""
    chance = np.random.default_rng(4)
    alarms = 0
    for _ in range(20):
        sizes, is_in = chance.geometric(1 / 6, 2000), chance.random(2000) < 0.1
        alarms += log_e(Split("mirrored", int(sizes[is_in].sum()), int(sizes.sum()), 0.1)) >= math.log(20)
    assert alarms > 20 * 0.1
