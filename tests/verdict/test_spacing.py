"""One stall of a machine is one event, however many answers were in flight."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from shadowproxy.verdict import checks
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.evidence import log_e_rollback
from shadowproxy.verdict.findings import Finding, GateOutcome, Levels, Sample, judge
from shadowproxy.verdict.gates import gate_rules
from shadowproxy.verdict.limits import Budget
from shadowproxy.verdict.spacing import Spacing, all_of, apart_of, latencies
from shadowproxy.verdict.units import Sessions, Window
from tests.verdict.draws import ALPHA, TRINOMIAL

TTFT = checks.TTFT_TAIL
BUDGETS = (Budget("slow", "ttft", 0.8, 0.01), Budget("dear", "cost", 0.1, 0.01))
RULES = {rule.name: rule for rule in gate_rules({}, BUDGETS)}
STALL_S = 5.0
Times = NDArray[np.float64]
Choice = NDArray[np.bool_]


def apart(came_s: Times, seed: int, routes: int = 1) -> Choice:
    """Which of the units, in the order in which they are known, count for a rollback. ``routes`` take turns by chance."""
    chance, spacing = np.random.default_rng(seed), Spacing(STALL_S)
    drawn = zip(came_s.tolist(), chance.random(came_s.size).tolist(), chance.integers(routes, size=came_s.size).tolist(), strict=True)
    return np.array([not spacing.is_crowded(f"route-{route}", "", at_s, u) for at_s, u, route in drawn])


def one(gate: str, counts: dict[str, int], lost: int = 0) -> Finding:
    [finding] = judge([(RULES[gate], Sample("chat", counts, lost))], Levels(ALPHA, ALPHA))
    return finding


# --- who is crowded ---------------------------------------------------------------------------------------------------------


def test_who_comes_alone_counts() -> None:
    assert apart(np.arange(200) * 6.0, 1).all()


def test_of_many_about_one_in_a_window_counts() -> None:
    steady = apart(np.arange(40_000) / 40, 2)
    assert 140 < int(steady.sum()) < 260, "200 windows"


def test_of_bursts_about_one_each_counts() -> None:
    bursts = apart(np.repeat(np.arange(300) * 60.0, 8), 3)
    assert 230 < int(bursts.sum()) < 370, "300 bursts"


def test_a_burst_larger_than_any_before_is_a_few_events() -> None:
    counted = [apart(np.append(np.arange(100) * 6.0, np.full(500, 700.0)), seed)[100:].sum() for seed in range(50)]
    assert 3 < float(np.mean(counted)) < 9, "about ln 500"


def test_every_place_in_a_burst_has_the_same_chance() -> None:
    """The first of them would be the fastest, or the one that meets a cold connection."""
    is_apart = apart(np.repeat(np.arange(6000) * 60.0, 8), 4).reshape(-1, 8)[100:]
    assert np.allclose(is_apart.mean(axis=0), 1 / 8, atol=0.02)


def test_small_routes_are_one_crowd_as_they_are_judged_together() -> None:
    steady = np.arange(40_000) / 40
    assert int(apart(steady, 5, routes=40).sum()) < 300, "200 windows"
    assert int(apart(steady, 5, routes=4).sum()) > 600, "of each route, for each is judged by itself"


def test_slices_of_two_dimensions_do_not_crowd_each_other() -> None:
    spacing = Spacing(STALL_S)
    places = [("chat", ""), ("", "tenant=acme"), ("", "streamed=no")]
    assert [spacing.is_crowded(*place, 1.0, 0.9) for place in places] == [False] * 3
    assert [spacing.is_crowded(*place, 2.0, 0.9) for place in places] == [True] * 3
    assert [spacing.is_crowded(*place, 3.0, 0.1) for place in places] == [False] * 3


def test_without_a_time_or_a_distance_nothing_is_crowded() -> None:
    assert [Spacing(STALL_S).applies(None), Spacing(0.0).applies(1.0), Spacing().applies(1.0)] == [False] * 3
    assert Spacing(STALL_S).applies(1.0)


def test_budgets_of_a_latency_are_latencies() -> None:
    assert latencies(BUDGETS) == checks.LATENCIES | {"budget:slow"}


@pytest.mark.parametrize("check", [*sorted(checks.LATENCIES), "budget:slow"])
def test_crowded_cells_are_known(check: str) -> None:
    for cell in (*checks.values_of(check), checks.UNREPORTED):
        assert checks.has_cell(check, checks.crowded(cell))
        assert checks.alone(checks.crowded(cell)) == cell
    assert not checks.has_cell(check, checks.crowded("strange"))


def test_other_checks_have_no_crowded_cells() -> None:
    assert not checks.has_cell(checks.ERROR, checks.crowded(checks.BOTH_OK))


# --- units ------------------------------------------------------------------------------------------------------------------

SLOW_PAIR = [CellKey("chat", checks.ERROR, checks.BOTH_OK), CellKey("chat", TTFT, checks.CANDIDATE_ONLY)]


def units(draw: Callable[[], float] = lambda: 0.9) -> Sessions:
    """Who has company is unlucky."""
    return Sessions(Window(max_pairs=3), draw, Spacing(STALL_S))


def cells(found: tuple[CellKey, ...]) -> list[str]:
    return [key.cell for key in found]


def test_latencies_alone_are_crowded() -> None:
    open_ones = units()
    assert cells(open_ones.add("chat", "", "a", SLOW_PAIR, 0.0, 0.0).cells) == ["both_ok", "candidate_only"]
    assert cells(open_ones.add("chat", "", "b", SLOW_PAIR, 0.0, 0.0).cells) == ["both_ok", "candidate_only:crowded"]


def test_a_repeated_prompt_is_no_company() -> None:
    open_ones = units()
    assert cells(open_ones.add("chat", "", "a", SLOW_PAIR, 0.0, 0.0).cells)[1] == "candidate_only"
    assert open_ones.add("chat", "", "a", SLOW_PAIR, 1.0, 1.0).is_duplicate
    assert cells(open_ones.add("chat", "", "b", SLOW_PAIR, 6.0, 6.0).cells)[1] == "candidate_only"


def test_units_before_the_limits_are_known_are_company() -> None:
    open_ones = units()
    open_ones.add("chat", "", "a", SLOW_PAIR[:1], 0.0, 0.0)
    assert cells(open_ones.add("chat", "", "b", SLOW_PAIR, 0.0, 0.0).cells)[1] == "candidate_only:crowded"


def test_a_session_draws_once_for_its_first_pair() -> None:
    open_ones = units()
    open_ones.add("chat", "", "alone", SLOW_PAIR, 0.0, 0.0)

    def session(start_s: float) -> list[str]:
        """The cells that its three pairs, six seconds apart, give in the end."""
        times = (start_s, start_s + 6, start_s + 12)
        return [key.cell for at_s in times for key in open_ones.add("chat", f"user-{start_s}", f"{at_s}", SLOW_PAIR, at_s, at_s).cells]

    assert session(1.0) == ["both_ok", "candidate_only:crowded"]
    for number in range(30):  # many that come alone: so does who comes next
        open_ones.add("chat", "", f"other-{number}", SLOW_PAIR, 20.0, 20.0 + 5 * number)
    assert session(500.0) == ["both_ok", "candidate_only"]


def test_files_draw_no_lots() -> None:
    def never() -> float:
        raise AssertionError("nothing is drawn")

    found = [units(never).add("chat", "", name, SLOW_PAIR, 0.0).cells for name in "ab"]
    assert [cells(each) for each in found] == [["both_ok", "candidate_only"]] * 2


# --- findings ---------------------------------------------------------------------------------------------------------------


def test_crowded_slowness_holds_back_and_does_not_roll_back() -> None:
    counts = {"both_ok": 20, "both_ok:crowded": 500, "candidate_only": 1, "candidate_only:crowded": 40}
    near, single = one("ttft", counts), one("ttft", all_of(counts))
    assert single.outcome is GateOutcome.FAIL
    assert near.outcome is GateOutcome.INCONCLUSIVE
    assert near.log10_e_rollback < 0.5 < single.log10_e_rollback
    assert near.log10_e_promote == single.log10_e_promote
    assert (near.n, near.mean, near.counts, near.upper) == (single.n, single.mean, single.counts, single.upper)
    assert (near.counts_rollback, single.counts_rollback) == ({"both_ok": 20, "candidate_only": 1}, None)


def test_slowness_at_many_moments_rolls_back() -> None:
    assert one("ttft", {"candidate_only": 12, "candidate_only:crowded": 400}).outcome is GateOutcome.FAIL


def test_what_all_together_do_not_show_rolls_nobody_back() -> None:
    """A finding must not say at once that the candidate is better and that it is rolled back for being worse."""
    finding = one("ttft", {"candidate_only": 30, "both_ok:crowded": 3000, "reference_only:crowded": 900})
    assert one("ttft", {"candidate_only": 30}).outcome is GateOutcome.FAIL
    assert finding.outcome is GateOutcome.PASS
    assert finding.log10_e_rollback < 0
    assert finding.mean is not None
    assert finding.lower <= finding.mean <= finding.upper < 0


def test_what_is_lost_is_taken_in_the_same_proportion() -> None:
    """Else ten lost pairs of a thousand would outweigh the few that count."""
    counts = {"candidate_only": 20, "candidate_only:crowded": 980}
    assert one("ttft", counts, lost=10).log10_e_rollback == one("ttft", {"candidate_only": 20}, lost=1).log10_e_rollback
    assert one("ttft", {}, lost=10).log10_e_rollback < 0


def test_a_crowded_latency_that_was_not_reported_counts_for_no_rollback_either() -> None:
    counts = {"candidate_only": 12, "candidate_only:crowded": 3000, "unreported:crowded": 400}
    assert one("ttft", counts).log10_e_rollback == one("ttft", {"candidate_only": 12}).log10_e_rollback
    assert one("ttft", counts).log10_e_promote == one("ttft", {"candidate_only": 3012, "unreported": 400}).log10_e_promote


def test_parts_of_counts() -> None:
    counts = {"both_ok": 1, "both_ok:crowded": 2, "unreported:crowded": 3}
    assert all_of(counts) == {"both_ok": 3, "unreported": 3}
    assert apart_of(counts) == {"both_ok": 1}


# --- stalls -----------------------------------------------------------------------------------------------------------------

RATE, MINUTES, RUNS = 40, 10, 60
ISSUED_S = np.arange(RATE * 60 * MINUTES) / RATE


def stalled(chance: np.random.Generator, steady: float) -> Choice:
    """Which answers of one side are over their limit: now and then one, and about every two minutes all for a second."""
    starts = chance.random(chance.poisson(MINUTES / 2)) * 60 * MINUTES
    in_stall = ((ISSUED_S[:, None] >= starts) & (ISSUED_S[:, None] < starts + 1)).any(axis=1)
    return in_stall | (chance.random(ISSUED_S.size) < steady)


def log_e(differences: NDArray[np.int64]) -> Times:
    """After each of the differences, of one rollout."""
    seen = np.stack([np.cumsum(differences == value) for value in (-1, 0, 1)], axis=-1)
    return log_e_rollback(TRINOMIAL, seen, 0.0)


def is_ever_rolled_back(differences: NDArray[np.int64], counted: Choice | None = None) -> bool:
    """Whether the e-value reached 1/alpha at any pair: of all, and of what was ``counted`` by itself."""
    of_all = log_e(differences)
    if counted is not None:
        of_counted = np.concatenate(([0.0], log_e(differences[counted])))
        of_all = np.minimum(of_all, of_counted[np.cumsum(counted)])
    return bool((of_all >= math.log(1 / ALPHA)).any())


def test_stalls_roll_back_no_equal_candidate() -> None:
    """Primary and candidate stall alike. Where all count, the first one to stall decides; where about one of a stall does, the promise is
    kept."""
    chance = np.random.default_rng(51)
    rollouts = [stalled(chance, 0.05).astype(int) - stalled(chance, 0.05) for _ in range(RUNS)]
    assert np.mean([is_ever_rolled_back(each) for each in rollouts]) > 0.3
    assert np.mean([is_ever_rolled_back(each, apart(ISSUED_S, seed)) for seed, each in enumerate(rollouts)]) <= ALPHA


def test_bursts_of_which_the_fastest_are_known_first_roll_back_no_equal_candidate() -> None:
    """Eight at once every ten seconds, known in the order in which the primary answered: the first known is never slow there."""
    chance = np.random.default_rng(52)
    for seed in range(5):
        primary, candidate = np.sort(chance.lognormal(0, 0.6, (1000, 8)), axis=1), chance.lognormal(0, 0.6, (1000, 8))
        limit = math.exp(0.6 * 1.6448536)
        differences = (candidate > 1.2 * limit).astype(int) - (primary > limit)
        counted = apart(np.repeat(np.arange(1000) * 10.0, 8), seed)
        assert differences[:, 0].mean() > 0 > differences.mean()
        assert abs(differences.ravel()[counted].mean() - differences.mean()) < 0.03
        assert not is_ever_rolled_back(differences.ravel(), counted)


def test_a_slow_candidate_is_rolled_back_within_two_minutes() -> None:
    for seed in range(20):
        counted = apart(ISSUED_S[: 120 * RATE], seed)
        assert is_ever_rolled_back(np.ones(counted.size, dtype=np.int64), counted)
