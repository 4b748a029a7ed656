"""scripts/simulate.py: that its ways of deciding are what they are called, and that the engine in it is this package's."""

from __future__ import annotations

import numpy as np
import pytest

from shadowproxy.verdict.checks import GRID, grid_cell
from tests.scripts import script

simulate = script("simulate")


def minutes(text: str) -> np.ndarray:
    """``+`` for a good minute, ``-`` for a bad one."""
    return np.array([[sign == "+" for sign in text]])


@pytest.mark.parametrize(
    ("seen", "promoted", "rolled_back"),
    [("+++++++++++", True, False), ("-+-+-+++++++", True, False), ("-+-+-+-++++++", False, True), ("+++++++++", False, False)],
)
def test_argo_aborts_at_the_fourth_failed_measurement_and_is_done_after_ten(seen: str, promoted: bool, rolled_back: bool) -> None:
    outcome = simulate.argo(minutes(seen))
    assert (bool(outcome.is_promoted[0]), bool(outcome.is_rolled_back[0])) == (promoted, rolled_back)


@pytest.mark.parametrize(
    ("seen", "promoted", "rolled_back"),
    [("+" * 10, True, False), ("-+" * 4 + "+" * 6, True, False), ("-+" * 5 + "+" * 10, False, True), ("+" * 9, False, False)],
)
def test_flagger_rolls_back_at_the_fifth_failed_check(seen: str, promoted: bool, rolled_back: bool) -> None:
    outcome = simulate.flagger(minutes(seen))
    assert (bool(outcome.is_promoted[0]), bool(outcome.is_rolled_back[0])) == (promoted, rolled_back)


def test_the_oracle_has_its_power_and_its_error() -> None:
    chance = np.random.default_rng(1)
    equal, at_margin = (simulate.oracle(chance.normal(mean, 0.1, (2000, 400)), 0.02, 0.02) for mean in (0.0, 0.02))
    assert equal.is_promoted.mean() == pytest.approx(0.80, abs=0.04)
    assert at_margin.is_promoted.mean() == pytest.approx(0.05, abs=0.02)


def test_rounding_is_the_rounding_of_the_package() -> None:
    values = np.random.default_rng(2).normal(0, 0.3, (1, 500))
    rounded = simulate.on_values(np.random.default_rng(3), values, simulate.GRID)[0]
    draws = np.random.default_rng(3).random(values.shape)[0]
    assert [GRID[grid_cell(float(value), float(u))] for value, u in zip(values[0], draws, strict=True)] == simulate.GRID[rounded].tolist()


def test_thresholds_and_peeking_are_wrong_where_the_engine_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    tables = list(simulate.synthetic(60))
    assert len(tables) == len(simulate.METRICS)
    for table in tables:
        by_method = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()[2:]}
        assert "**" not in by_method["this engine"]
        assert "**" in by_method["Argo Rollouts, threshold a minute"]
        assert "**" in by_method["t-test, looked at every minute"]
    assert "similarity, margin 0.02: equal" in capsys.readouterr().err


def test_more_pairs_take_no_more_counters() -> None:
    look, pairs = simulate.cost(3000)
    assert look.startswith("One look at 20 routes x 12 gates: ")
    assert "3,000 pairs of one route: 21 counters after a tenth of them, 21 after all" in pairs


def test_without_real_answers_the_replay_says_so(tmp_path: object) -> None:
    assert list(simulate.replay(tmp_path, 1)) == [f"No real answers: {tmp_path} is not there."]
