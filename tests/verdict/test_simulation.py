"""Simulated rollouts: the error rates that are promised, and the pairs that are planned with. Every simulation is seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shadowproxy.verdict.case import Evidence, Rules
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.checks import grid_cell
from shadowproxy.verdict.decision import State, decide
from shadowproxy.verdict.evidence import FRACTIONS, bounds, log_e_promote, log_e_rollback
from shadowproxy.verdict.gates import DEFAULT_MARGINS, gate_rules
from tests.verdict.draws import (
    ALPHA,
    GRID,
    TRINOMIAL,
    failures,
    first_crossing,
    histories,
    on_grid,
    over_budget,
    similarity_differences,
    tails,
)


def test_simulated_rounding_is_the_rounding_of_the_package() -> None:
    chance = np.random.default_rng(0)
    values = similarity_differences(chance, (1, 500), 0.0)
    by_simulation = on_grid(np.random.default_rng(1), values)[0]
    draws = np.random.default_rng(1).random(values.shape)[0]
    assert [float(grid_cell(value, u)) for value, u in zip(values[0], draws, strict=True)] == GRID[by_simulation].tolist()
    assert similarity_differences(chance, (1, 50_000), 0.0).std() == pytest.approx(0.107, abs=0.003)


# --- error rates: a look after every pair, on the margin exactly -----------------------------------------------------------

RUNS = 400
#: Three standard errors of a share of 5 % over RUNS runs.
LIMIT = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)

ON_THE_MARGIN = {
    "rare errors": (lambda chance: failures(chance, (RUNS, 1500), 0.005, 0.010), TRINOMIAL, 0.005),
    "very rare errors": (lambda chance: failures(chance, (RUNS, 1500), 0.001, 0.002), TRINOMIAL, 0.001),
    "common failures": (lambda chance: failures(chance, (RUNS, 1500), 0.30, 0.32), TRINOMIAL, 0.02),
    "latency": (lambda chance: tails(chance, (RUNS, 1500), 1.2), TRINOMIAL, 0.0),
    "similarity": (lambda chance: on_grid(chance, similarity_differences(chance, (RUNS, 1500), 0.02)), GRID, 0.02),
}


@pytest.mark.parametrize("case", ON_THE_MARGIN)
def test_a_wrong_decision_on_the_margin_stays_below_alpha_with_a_look_after_every_pair(case: str) -> None:
    draw, values, margin = ON_THE_MARGIN[case]
    indices = draw(np.random.default_rng(11))
    for sign, name in ((1.0, "promote"), (-1.0, "rollback")):
        factors = np.log1p(FRACTIONS[:, None] * sign * (margin - values) / (1 - sign * margin))
        wealth = np.zeros(indices.shape)
        for log_factor in factors:
            wealth += np.exp(np.cumsum(log_factor[indices], axis=1)) / len(factors)
        wrong = float((wealth.max(axis=1) >= 1 / ALPHA).mean())
        assert wrong <= LIMIT, f"{name}: {wrong:.1%}"
        log_e = log_e_promote if sign > 0 else log_e_rollback
        last = log_e(values, histories(indices, len(values), every=indices.shape[1])[:, -1], margin, (-1.0, 1.0))
        np.testing.assert_allclose(np.log(wealth[:, -1]), last, atol=1e-8)  # the package's own number, at the last look


def test_a_peeked_t_test_would_be_wrong_far_more_often() -> None:
    """Shows that the simulation above can tell: the usual interval, looked at every 25 pairs, promotes what it must not."""
    differences = similarity_differences(np.random.default_rng(11), (RUNS, 1500), 0.02)
    n = np.arange(1, 1501)
    mean = differences.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum((differences**2).cumsum(axis=1) / n - mean**2, 1e-12))
    t = (mean - 0.02) / (sd / np.sqrt(n))
    assert float((t[:, 49::25] <= -1.645).any(axis=1).mean()) > 3 * LIMIT / 2


def test_the_mean_is_inside_the_bounds_at_all_looks_at_once() -> None:
    chance = np.random.default_rng(5)
    seen = histories(failures(chance, (60, 2000), 0.02, 0.03), 3, every=100)
    misses = 0
    for run in seen:
        intervals = [bounds(TRINOMIAL, counts, (-1.0, 1.0), ALPHA, ALPHA) for counts in run]
        misses += not all(lower <= 0.01 <= upper for lower, upper in intervals)
    assert misses <= 60 * 2 * ALPHA


# --- power: pairs until an equal candidate is promoted ---------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "planned"), [(0.01, 1038), (0.02, 375), (0.05, 150)])
def test_equal_similarity_is_promoted_after_the_planned_pairs(margin: float, planned: int) -> None:
    chance = np.random.default_rng(21)
    seen = histories(on_grid(chance, similarity_differences(chance, (300, 4 * planned), 0.0)), len(GRID))
    needed = first_crossing(log_e_promote(GRID, seen, margin, (-1.0, 1.0)))
    assert np.median(needed) == pytest.approx(planned, rel=0.2)


@pytest.mark.parametrize(
    ("rate", "margin", "planned"),
    [(0.001, 0.005, 1625), (0.005, 0.005, 3638), (0.005, 0.010, 1200), (0.02, 0.010, 3450), (0.02, 0.020, 900)],
)
def test_equal_errors_are_promoted_after_the_planned_pairs(rate: float, margin: float, planned: int) -> None:
    chance = np.random.default_rng(22)
    seen = histories(failures(chance, (300, 3 * planned), rate, rate), 3)
    needed = first_crossing(log_e_promote(TRINOMIAL, seen, margin, (-1.0, 1.0)))
    assert np.median(needed) == pytest.approx(planned, rel=0.2)


@pytest.mark.parametrize(("rate", "planned"), [(0.02, 1800), (0.05, 275), (0.20, 45)])
def test_failing_candidates_are_rolled_back_after_the_planned_pairs(rate: float, planned: int) -> None:
    chance = np.random.default_rng(23)
    seen = histories(failures(chance, (300, 6 * planned), 0.005, rate), 3, every=5)
    needed = first_crossing(log_e_rollback(TRINOMIAL, seen, 0.005, (-1.0, 1.0)), every=5)
    assert np.median(needed) == pytest.approx(planned, rel=0.2)


def test_a_candidate_that_is_down_is_rolled_back_within_ten_pairs() -> None:
    seen = np.array([(0, 0, n) for n in range(12)])
    assert int(np.argmax(log_e_rollback(TRINOMIAL, seen, 0.005) >= math.log(1 / ALPHA))) == 9


@pytest.mark.parametrize(("margin", "planned"), [(0.02, 2688), (0.03, 1350)])
def test_equal_structure_is_promoted_after_the_planned_pairs(margin: float, planned: int) -> None:
    chance = np.random.default_rng(24)
    seen = histories(failures(chance, (300, 3 * planned), 0.08, 0.08), 3)
    assert np.median(first_crossing(log_e_promote(TRINOMIAL, seen, margin))) == pytest.approx(planned, rel=0.2)


def test_other_structure_is_rolled_back_after_the_planned_pairs() -> None:
    chance = np.random.default_rng(25)
    seen = histories(failures(chance, (300, 1500), 0.08, 0.20), 3)
    assert np.median(first_crossing(log_e_rollback(TRINOMIAL, seen, 0.02))) == pytest.approx(225, rel=0.2)


@pytest.mark.parametrize(("rate", "planned"), [(0.001, 575), (0.005, 2588)])
def test_a_kept_budget_is_shown_after_the_planned_pairs(rate: float, planned: int) -> None:
    chance = np.random.default_rng(26)
    seen = histories(over_budget(chance, (300, 4 * planned), rate), 2)
    assert np.median(first_crossing(log_e_promote((0.0, 1.0), seen, 0.01, (0.0, 1.0)))) == pytest.approx(planned, rel=0.2)


def test_latency_is_decided_after_the_planned_pairs() -> None:
    chance = np.random.default_rng(27)
    equal, slow = (histories(tails(chance, (200, 9000), factor), 3) for factor in (1.0, 1.3))
    assert np.median(first_crossing(log_e_promote(TRINOMIAL, equal, 0.0))) == pytest.approx(825, rel=0.2)
    assert np.median(first_crossing(log_e_rollback(TRINOMIAL, slow, 0.0))) == pytest.approx(2875, rel=0.25)


def test_very_rare_errors_take_as_long_as_planned() -> None:
    chance = np.random.default_rng(28)
    seen = histories(failures(chance, (200, 16_000), 0.001, 0.001), 3)
    assert np.median(first_crossing(log_e_promote(TRINOMIAL, seen, 0.002))) == pytest.approx(5575, rel=0.2)


# --- many cells -----------------------------------------------------------------------------------------------------------


def test_twelve_cells_all_on_the_margin_are_seldom_decided() -> None:
    """Six routes times two gates, exactly on the margin, looked at five times: both wrong decisions stay below alpha."""
    limits = Rules(min_pairs=1, soak_s=0.0, gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "error": 0.02, "ttft": 0.02}))
    runs, looks = 40, []
    for run in range(runs):
        chance = np.random.default_rng(1000 + run)
        seen = histories(failures(chance, (12, 1500), 0.05, 0.07), 3, every=300)
        states_seen = set()
        for look in range(seen.shape[1]):
            cells = {
                CellKey(f"r{at % 6}", "error" if at < 6 else "ttft_tail", cell): int(count)
                for at in range(12)
                for cell, count in zip(("reference_only", "both_ok", "candidate_only"), seen[at, look], strict=True)
            }
            evidence = Evidence(cells, sum(cells.values()), 0, 0.0, 1.0, has_control=False)
            states_seen.add(decide(limits, evidence).state)
        looks.append(states_seen)
    for wrong in (State.PROMOTE, State.ROLLBACK):
        share = sum(wrong in each for each in looks) / runs
        assert share <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
