"""The traps that ruin simpler ways of deciding, each with what it does to them and what it does to this one."""

from __future__ import annotations

import random

import numpy as np

from shadowproxy.exchange import Comparison, Outcome, Timing
from shadowproxy.verdict.case import Evidence, Rules
from shadowproxy.verdict.cells import CellKey, merge, observe
from shadowproxy.verdict.checks import grid_cell, value_of
from shadowproxy.verdict.decision import State, decide
from shadowproxy.verdict.evidence import log_e_promote, log_e_rollback
from shadowproxy.verdict.gates import DEFAULT_MARGINS, GateRule, gate_rules
from shadowproxy.verdict.limits import Limits
from shadowproxy.verdict.units import Sessions, Window
from tests.verdict.draws import (
    ALPHA,
    GRID,
    first_crossing,
    histories,
    on_grid,
    session_means,
    sessions,
    similarities,
    similarity_differences,
)

NO_LIMITS = Limits()


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


# --- sessions ---------------------------------------------------------------------------------------------------------------


def crossings(chance: np.random.Generator, differences: np.ndarray) -> tuple[float, float]:
    """Shares of runs that were ever promoted and ever rolled back at a margin of 0.02."""
    seen = histories(on_grid(chance, differences), len(GRID), every=10)
    return tuple(float(np.isfinite(first_crossing(log_e(GRID, seen, 0.02))).mean()) for log_e in (log_e_promote, log_e_rollback))


def test_requests_of_one_session_are_no_independent_opinions() -> None:
    """About six requests a session that share a taste, the candidate exactly at its margin: counted singly both decisions are wrong in a
    fifth of the rollouts; one observation a session keeps the promise."""
    differences, session = sessions(np.random.default_rng(41), 150, 12_000, worse=0.02)
    chance = np.random.default_rng(42)
    assert min(crossings(chance, differences)) > 0.2
    assert max(crossings(chance, session_means(differences, session))) <= ALPHA


def test_sessions_of_the_package_are_those_means() -> None:
    """The accumulator, on one rollout: as many units as sessions, and the same mean."""
    chance = np.random.default_rng(42)
    open_ones = Sessions(Window(max_pairs=1000), random.Random(1).random)
    differences, session = sessions(chance, 1, 2400, worse=0.02)
    cells: dict[CellKey, int] = {}
    for at, (difference, name, u) in enumerate(zip(differences[0], session[0], chance.random(2400), strict=True)):
        key = CellKey("chat", "similarity", grid_cell(float(difference), float(u)))
        cells = merge(cells, *({cell: 1} for cell in open_ones.add("chat", f"s{name}", f"p{at}", [key], float(at)).cells))
    cells = merge(cells, *({cell: 1} for cell in open_ones.close().cells))
    units = int(session[0, -1]) + 1
    assert sum(cells.values()) == units
    means = np.bincount(session[0], differences[0]) / np.bincount(session[0])
    counted = sum(value_of("similarity", key.cell) * n for key, n in cells.items()) / units
    assert abs(counted - means.mean()) < 4 * 0.05 / units**0.5


# --- time -------------------------------------------------------------------------------------------------------------------


def test_a_fixed_threshold_takes_a_moving_noise_floor_for_a_worse_candidate() -> None:
    """Prompts get harder and easier by 0.05 over the day. A threshold a minute rolls an equal candidate back, the pair does not."""
    chance = np.random.default_rng(43)
    runs, pairs = 100, 2000
    drift = 0.05 * np.sin(np.linspace(0, 20, pairs) + 6 * chance.random((runs, 1)))
    is_hard = chance.random((runs, pairs)) < 0.2
    control, candidate = (similarities(chance, is_hard) - drift for _ in range(2))
    is_bad = candidate.reshape(runs, -1, 50).mean(axis=2) < 0.83
    assert float((is_bad.cumsum(axis=1) > 3).any(axis=1).mean()) > 0.9
    seen = histories(on_grid(chance, control - candidate), len(GRID))
    assert np.isfinite(first_crossing(log_e_promote(GRID, seen, 0.02))).all()
    assert np.isfinite(first_crossing(log_e_rollback(GRID, seen, 0.02))).mean() <= ALPHA


def test_an_effect_that_comes_late_is_what_the_soak_is_for() -> None:
    """The candidate gets worse by 0.05 after pair 2000, when a cache fills. Whoever promotes at the first chance has promoted by then."""
    chance = np.random.default_rng(44)
    differences = similarity_differences(chance, (100, 6000), 0.0)
    differences[:, 2000:] += 0.05
    seen = histories(on_grid(chance, differences), len(GRID))
    promoted_at = first_crossing(log_e_promote(GRID, seen, 0.02))
    assert (promoted_at < 2000).all()
    is_after_soak = np.arange(1, seen.shape[1] + 1) * 25 >= 4000
    assert not (log_e_promote(GRID, seen, 0.02)[:, is_after_soak] >= np.log(20)).any(), "the e-value of the moment, not its record"
    rolled_back_at = first_crossing(log_e_rollback(GRID, seen, 0.02))
    assert (rolled_back_at < 5000).mean() == 1.0
    assert 3700 < float(np.median(rolled_back_at)) < 4600
