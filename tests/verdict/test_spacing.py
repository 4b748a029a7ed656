"""One stall of a machine is one event, however many answers were in flight."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from shadowproxy.verdict import checks
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.evidence import log_e_rollback
from shadowproxy.verdict.findings import Finding, GateOutcome, Levels, Sample, judge
from shadowproxy.verdict.gates import gate_rules
from shadowproxy.verdict.limits import Budget
from shadowproxy.verdict.spacing import Spacing, all_of, apart_of
from shadowproxy.verdict.units import Sessions, Window
from tests.verdict.draws import ALPHA, TRINOMIAL

TTFT = checks.TTFT_TAIL
BUDGETS = (Budget("slow", "ttft", 0.8, 0.01), Budget("dear", "cost", 0.1, 0.01))
RULES = {rule.name: rule for rule in gate_rules({}, BUDGETS)}


def crowded(spacing: Spacing, *issued_s: float, check: str = TTFT) -> list[bool]:
    return [spacing.is_crowded("chat", check, "", at_s) for at_s in issued_s]


def one(gate: str, counts: dict[str, int], lost: int = 0) -> Finding:
    [finding] = judge([(RULES[gate], Sample("chat", counts, lost))], Levels(ALPHA, ALPHA))
    return finding


# --- who is crowded ---------------------------------------------------------------------------------------------------------


def test_one_in_so_many_seconds_stands_alone() -> None:
    assert crowded(Spacing(5.0), 0.0, 0.1, 4.9, 5.0, 9.9, 12.0, 16.9, 17.0) == [False, True, True, False, True, False, True, False]


def test_each_check_route_and_slice_has_a_time_of_its_own() -> None:
    spacing = Spacing(5.0)
    places = [("chat", TTFT, ""), ("code", TTFT, ""), ("", TTFT, "tenant=acme"), ("chat", checks.AA_TTFT, "")]
    assert [spacing.is_crowded(*place, 1.0) for place in places] == [False] * 4
    assert [spacing.is_crowded(*place, 2.0) for place in places] == [True] * 4


def test_latencies_alone_are_crowded() -> None:
    spacing = Spacing(5.0, BUDGETS)
    assert crowded(spacing, 0.0, 0.1, check="budget:slow") == [False, True]
    for check in (checks.ERROR, checks.SIMILARITY, checks.COST, "budget:dear"):
        assert crowded(spacing, 0.0, 0.1, check=check) == [False, False]


def test_without_a_time_or_a_distance_nothing_is_crowded() -> None:
    assert [Spacing(5.0).is_crowded("chat", TTFT, "", None) for _ in range(2)] == [False, False]
    assert crowded(Spacing(0.0), 1.0, 1.0) == [False, False]


@pytest.mark.parametrize("check", [*sorted(checks.LATENCIES), "budget:slow"])
def test_crowded_cells_are_known(check: str) -> None:
    for cell in (*checks.values_of(check), checks.UNREPORTED):
        assert checks.has_cell(check, checks.crowded(cell))
        assert checks.alone(checks.crowded(cell)) == cell
    assert not checks.has_cell(check, checks.crowded("strange"))


def test_other_checks_have_no_crowded_cells() -> None:
    assert not checks.has_cell(checks.ERROR, checks.crowded(checks.BOTH_OK))


# --- units ------------------------------------------------------------------------------------------------------------------


def slow_pair(cell: str = checks.CANDIDATE_ONLY) -> list[CellKey]:
    return [CellKey("chat", checks.ERROR, checks.BOTH_OK), CellKey("chat", TTFT, cell)]


def sessions_apart() -> Sessions:
    return Sessions(Window(max_pairs=3), random.Random(3).random, Spacing(5.0))


def test_a_repeated_prompt_takes_nobodys_place() -> None:
    units = sessions_apart()
    assert units.add("chat", "", "ping", slow_pair(), 0.0, 0.0).cells[1].cell == "candidate_only"
    assert units.add("chat", "", "ping", slow_pair(), 6.0, 6.0).is_duplicate
    assert units.add("chat", "", "other", slow_pair(), 7.0, 7.0).cells[1].cell == "candidate_only"
    near = units.add("chat", "", "third", slow_pair(), 8.0, 8.0).cells
    assert [key.cell for key in near] == ["both_ok", "candidate_only:crowded"]


def test_a_session_is_crowded_by_its_first_pair() -> None:
    units = sessions_apart()
    units.add("chat", "", "alone", slow_pair(), 0.0, 0.0)

    def session(start_s: float) -> list[str]:
        """The cells that its three pairs, six seconds apart, give in the end."""
        times = (start_s, start_s + 6, start_s + 12)
        return [key.cell for at_s in times for key in units.add("chat", f"user-{start_s}", f"{at_s}", slow_pair(), at_s, at_s).cells]

    assert session(1.0) == ["both_ok", "candidate_only:crowded"]
    assert session(20.0) == ["both_ok", "candidate_only"]


# --- findings ---------------------------------------------------------------------------------------------------------------


def test_crowded_slowness_holds_back_and_does_not_roll_back() -> None:
    counts = {"both_ok": 20, "both_ok:crowded": 500, "candidate_only": 1, "candidate_only:crowded": 40}
    near, single = one("ttft", counts), one("ttft", all_of(counts))
    assert single.outcome is GateOutcome.FAIL
    assert near.outcome is GateOutcome.INCONCLUSIVE
    assert near.log10_e_rollback < 0.5 < single.log10_e_rollback
    assert near.log10_e_promote == single.log10_e_promote
    assert (near.n, near.mean, near.counts) == (single.n, single.mean, single.counts)
    assert (near.counts_rollback, single.counts_rollback) == ({"both_ok": 20, "candidate_only": 1}, None)


def test_slowness_at_many_moments_rolls_back() -> None:
    assert one("ttft", {"candidate_only": 12, "candidate_only:crowded": 400}).outcome is GateOutcome.FAIL


def test_what_is_lost_is_taken_in_the_same_proportion() -> None:
    """Else ten lost pairs of a thousand would outweigh the few that count."""
    counts = {"candidate_only": 20, "candidate_only:crowded": 980}
    assert one("ttft", counts, lost=10).log10_e_rollback == one("ttft", {"candidate_only": 20}, lost=1).log10_e_rollback
    assert one("ttft", {}, lost=10).log10_e_rollback < 0


def test_a_crowded_latency_that_was_not_reported_counts_for_no_rollback_either() -> None:
    counts = {"candidate_only": 12, "unreported:crowded": 400}
    assert one("ttft", counts).log10_e_rollback == one("ttft", {"candidate_only": 12}).log10_e_rollback
    assert one("ttft", counts).log10_e_promote == one("ttft", {"candidate_only": 12, "unreported": 400}).log10_e_promote


def test_bounds_that_rest_on_different_pairs_do_not_cross() -> None:
    finding = one("ttft", {"candidate_only": 30, "both_ok:crowded": 3000, "reference_only:crowded": 900})
    assert finding.log10_e_rollback > 2
    assert finding.lower == finding.upper < 0


def test_parts_of_counts() -> None:
    counts = {"both_ok": 1, "both_ok:crowded": 2, "unreported:crowded": 3}
    assert all_of(counts) == {"both_ok": 3, "unreported": 3}
    assert apart_of(counts) == {"both_ok": 1}


# --- stalls -----------------------------------------------------------------------------------------------------------------

RATE, MINUTES, RUNS = 40, 10, 100
ISSUED_S = np.arange(RATE * 60 * MINUTES) / RATE


def stalled(chance: np.random.Generator, steady: float) -> NDArray[np.bool_]:
    """Which answers of one side are over their limit: now and then one, and about every two minutes all for a second."""
    starts = chance.random(chance.poisson(MINUTES / 2)) * 60 * MINUTES
    in_stall = ((ISSUED_S[:, None] >= starts) & (ISSUED_S[:, None] < starts + 1)).any(axis=1)
    return in_stall | (chance.random(ISSUED_S.size) < steady)


def ever_rolled_back(differences: NDArray[np.int64]) -> float:
    """Share of the rows whose e-value reached 1/alpha at any pair."""
    seen = np.stack([np.cumsum(differences == value, axis=1) for value in (-1, 0, 1)], axis=-1)
    return float((log_e_rollback(TRINOMIAL, seen, 0.0) >= math.log(1 / ALPHA)).any(axis=1).mean())


def test_stalls_roll_back_no_equal_candidate() -> None:
    """Primary and candidate stall alike. Counted singly, the first one to stall decides; one in five seconds keeps the promise."""
    chance = np.random.default_rng(51)
    differences = np.array([stalled(chance, 0.05).astype(int) - stalled(chance, 0.05) for _ in range(RUNS)])
    spacing = Spacing(5.0)
    is_apart = ~np.array([spacing.is_crowded("chat", TTFT, "", at_s) for at_s in ISSUED_S])
    assert ever_rolled_back(differences) > 0.3
    assert ever_rolled_back(differences[:, is_apart]) <= ALPHA


def test_a_slow_candidate_is_rolled_back_within_a_minute() -> None:
    spacing = Spacing(5.0)
    is_apart = ~np.array([spacing.is_crowded("chat", TTFT, "", at_s) for at_s in ISSUED_S[: 60 * RATE]])
    assert ever_rolled_back(np.ones((1, int(is_apart.sum())), dtype=np.int64)) == 1.0
