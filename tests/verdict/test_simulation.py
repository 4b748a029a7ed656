"""Simulated rollouts: the error rates that are promised, the pairs that are planned with, and the traps that ruin simpler methods.

Every simulation is seeded. Similarity is drawn as two askings of one prompt: a fifth of the prompts is hard (0.65), the rest easy
(0.90), and both arms share the prompt, which gives differences with a standard deviation of about 0.107.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shadowproxy.exchange import Comparison, Outcome, Timing
from shadowproxy.verdict.cells import CellKey, merge, observe
from shadowproxy.verdict.checks import grid_cell
from shadowproxy.verdict.decision import Evidence, Rules, State, decide
from shadowproxy.verdict.evidence import FRACTIONS, bounds, log_e_promote, log_e_rollback
from shadowproxy.verdict.gates import DEFAULT_MARGINS, GateRule, gate_rules
from shadowproxy.verdict.limits import Limits

Floats = NDArray[np.float64]
ALPHA = 0.05
NO_LIMITS = Limits()
TRINOMIAL = np.array([-1.0, 0.0, 1.0])
GRID = np.arange(-20, 21) / 20
LOOK_EVERY = 25


def similarities(chance: np.random.Generator, hard: NDArray[np.bool_]) -> Floats:
    """One answer's similarity for each prompt: mean 0.90 (sd 0.06) for easy ones, 0.65 (sd 0.12) for hard ones."""

    def beta(mean: float, sd: float) -> Floats:
        size = mean * (1 - mean) / sd**2 - 1
        return chance.beta(mean * size, (1 - mean) * size, hard.shape)

    return np.where(hard, beta(0.65, 0.12), beta(0.90, 0.06))


def similarity_differences(chance: np.random.Generator, shape: tuple[int, int], worse: float) -> Floats:
    hard = chance.random(shape) < 0.2
    return similarities(chance, hard) - similarities(chance, hard) + worse


def on_grid(chance: np.random.Generator, values: Floats) -> NDArray[np.intp]:
    """Index into GRID, by the same rounding as ``grid_cell``, all at once."""
    position = (np.clip(values, -1, 1) + 1) * 20
    lower = np.floor(position)
    return (lower + (chance.random(values.shape) < position - lower)).astype(np.intp)


def failures(chance: np.random.Generator, shape: tuple[int, int], primary: float, candidate: float) -> NDArray[np.intp]:
    """Index into TRINOMIAL of independent failures on both sides."""
    return 1 + (chance.random(shape) < candidate).astype(np.intp) - (chance.random(shape) < primary)


def histories(indices: NDArray[np.intp], size: int, every: int = LOOK_EVERY) -> NDArray[np.int64]:
    """Counts per value after every ``every`` pairs: (runs, looks, size)."""
    runs, pairs = indices.shape
    looks = pairs // every
    cell = indices[:, : looks * every].reshape(runs, looks, every)
    flat = (np.arange(runs)[:, None, None] * looks + np.arange(looks)[None, :, None]) * size + cell
    return np.bincount(flat.ravel(), minlength=runs * looks * size).reshape(runs, looks, size).cumsum(axis=1)


def first_crossing(log_e: Floats, every: int = LOOK_EVERY) -> Floats:
    """Pairs until the e-value first reaches 1/alpha; infinity where it never does."""
    crossed = log_e >= math.log(1 / ALPHA)
    return np.where(crossed.any(axis=1), (crossed.argmax(axis=1) + 1) * every, np.inf)


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


# --- traps ----------------------------------------------------------------------------------------------------------------


def only(**margins: float | None) -> tuple[GateRule, ...]:
    """The gates with these margins and no others."""
    return gate_rules({**dict.fromkeys(DEFAULT_MARGINS), **margins})


ONLY_SIMILARITY = Rules(soak_s=0.0, gates=only(similarity=0.02))


def answered(outcome: Outcome, similarity: float) -> Comparison:
    timing = Timing(0.5, None, 1.0)
    return Comparison("arm", outcome, similarity, False, False, timing, timing)


def states(cells: dict[CellKey, int], limits: Rules = ONLY_SIMILARITY) -> State:
    return decide(limits, Evidence(cells, sum(cells.values()), 0, 0.0, 1.0, has_control=True)).state


def pairs_of(
    route: str, chance: np.random.Generator, n: int, worse: float = 0.0, timeouts: float = 0.0
) -> list[tuple[Comparison, tuple[CellKey, ...]]]:
    """(candidate's comparison, cells) of ``n`` pairs. Timeouts hit hard prompts."""
    hard = chance.random(n) < 0.2
    control, candidate = similarities(chance, hard), similarities(chance, hard) - worse
    lost = hard & (chance.random(n) < timeouts / 0.2)
    found = []
    for own, other, is_lost, u in zip(control, candidate, lost, chance.random(n), strict=True):
        seen = answered(Outcome.TIMEOUT, 0.0) if is_lost else answered(Outcome.OK, float(np.clip(other, 0, 1)))
        found.append((seen, observe(route, Outcome.OK, seen, answered(Outcome.OK, float(own)), True, NO_LIMITS, float(u))))
    return found


def tally(pairs: list[tuple[Comparison, tuple[CellKey, ...]]]) -> dict[CellKey, int]:
    return merge(*({key: 1} for _, keys in pairs for key in keys))


def test_timeouts_on_hard_prompts_do_not_make_a_candidate_look_better() -> None:
    """Judged on what it answered, a candidate that times out on 4 % of requests would pass at once."""
    pairs = pairs_of("chat", np.random.default_rng(31), 6000, timeouts=0.04)
    complete = [pair for pair in pairs if pair[0].outcome is Outcome.OK]
    assert states(tally(complete[:800])) is State.PROMOTE
    looks = [states(tally(pairs[:n])) for n in range(400, 6001, 400)]
    assert State.PROMOTE not in looks
    everything = states(tally(pairs_of("chat", np.random.default_rng(32), 6000, timeouts=0.06)))
    assert everything is State.ROLLBACK


def test_a_route_of_eight_percent_that_got_worse_is_not_masked() -> None:
    """In one total the loss of 0.10 on 8 % of requests is 0.008 and passes a margin of 0.02."""
    chance = np.random.default_rng(33)
    good, bad = tally(pairs_of("chat", chance, 5520)), tally(pairs_of("tools", chance, 480, worse=0.10))
    in_one_total = merge(good, {CellKey("chat", key.check, key.cell): n for key, n in bad.items()})
    assert states(in_one_total) is State.PROMOTE
    assert states(merge(good, bad)) is State.ROLLBACK
    early = merge(tally(pairs_of("chat", chance, 920)), tally(pairs_of("tools", chance, 80, worse=0.10)))
    assert states(early) is not State.PROMOTE


def test_a_noise_floor_that_moves_does_not_roll_back_an_equal_candidate() -> None:
    """Prompts get harder in the afternoon: both askings suffer alike, and the pair cancels it."""
    chance = np.random.default_rng(34)
    drift = 0.05 * np.sin(np.linspace(0, 20, 1500))
    seen: dict[CellKey, int] = {}
    looks = []
    for at, shift in enumerate(drift):
        hard = np.array([chance.random() < 0.2])
        own, other = (float(np.clip(similarities(chance, hard)[0] - shift, 0, 1)) for _ in range(2))
        keys = observe("chat", Outcome.OK, answered(Outcome.OK, other), answered(Outcome.OK, own), True, NO_LIMITS, chance.random())
        seen = merge(seen, dict.fromkeys(keys, 1))
        if at % 100 == 99:
            looks.append(states(seen))
    assert State.ROLLBACK not in looks
    assert looks[-1] is State.PROMOTE


def test_a_control_that_is_refused_does_not_hide_a_worse_candidate() -> None:
    """The control shares the primary's rate limit and fails in 10 % of pairs; the candidate is worse by 0.05."""
    chance = np.random.default_rng(35)
    hard = chance.random(4000) < 0.2
    own, other = similarities(chance, hard), similarities(chance, hard) - 0.05
    refused = chance.random(4000) < 0.10
    naive = np.where(refused, 0.0, own) - other
    assert naive.mean() < 0, "scored as 0 the failed controls would outweigh the loss"
    seen = [
        observe(
            "chat",
            Outcome.OK,
            answered(Outcome.OK, float(np.clip(score, 0, 1))),
            answered(Outcome.HTTP_ERROR if is_refused else Outcome.OK, 0.0 if is_refused else float(floor)),
            True,
            NO_LIMITS,
            float(u),
        )
        for floor, score, is_refused, u in zip(own, other, refused, chance.random(4000), strict=True)
    ]
    assert states(merge(*({key: 1} for keys in seen for key in keys))) is State.ROLLBACK
    limits = Rules(soak_s=0.0, gates=only(similarity=0.02, error=0.005))
    verdict = decide(limits, Evidence(merge(*({key: 1} for keys in seen for key in keys)), 4000, 0, 0.0, 1.0, has_control=True))
    assert [reason.code for reason in verdict.reasons] == ["aa_bias"]


# --- many cells -----------------------------------------------------------------------------------------------------------


def test_twelve_cells_all_on_the_margin_are_seldom_decided() -> None:
    """Six routes times two gates, exactly on the margin, looked at five times: both wrong decisions stay below alpha."""
    limits = Rules(min_pairs=1, soak_s=0.0, gates=only(error=0.02, ttft=0.02))
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
            states_seen.add(states(cells, limits))
        looks.append(states_seen)
    for wrong in (State.PROMOTE, State.ROLLBACK):
        share = sum(wrong in each for each in looks) / runs
        assert share <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
